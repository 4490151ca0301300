"""The socket of `toolkit serve`: known before anybody is told of it, and open at once."""

from __future__ import annotations

import socket

import pytest

from toolkit.api.http_server import open_socket
from toolkit.errors import InvalidInput


def test_who_is_told_of_the_port_may_come_before_the_server_is_up():
    with (
        open_socket("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname(), timeout=30) as early,
    ):
        early.sendall(b"GET / HTTP/1.1\r\n")  # refused, this would raise


def test_a_port_that_is_taken_is_told():
    with open_socket("127.0.0.1", 0) as taken, pytest.raises(InvalidInput, match="cannot serve"):
        open_socket("127.0.0.1", taken.getsockname()[1])


def test_an_address_that_lets_others_in_needs_a_host_name():
    with pytest.raises(InvalidInput, match="gives other machines access"):
        open_socket("0.0.0.0", 0)
