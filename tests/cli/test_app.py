"""Serving the app: a free port is found and told, Ctrl-C ends all of it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess

import pytest

from tests.cli.shell import COMMAND, ROOT, child_environment, run
from toolkit.cli.commands import app


def test_a_taken_port_that_was_asked_for_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("app", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "is taken" in done.stderr


def test_the_next_free_port_is_chosen_when_none_is_asked_for(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(app, "DEFAULT_PORT", port)
        assert app._choose_port("127.0.0.1", None) != port


def test_it_never_listens_to_other_machines():
    done = run("app", "--host", "0.0.0.0")
    assert done.returncode == 2
    assert "this machine only" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent otherwise on Windows")
def test_it_serves_until_ctrl_c_and_leaves_nothing_behind():
    child = subprocess.Popen(
        [*COMMAND, "app", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=child_environment(),
    )
    assert child.stdout is not None
    told = ""
    while not told.endswith("}\n"):
        line = child.stdout.readline()
        assert line, child.stderr and child.stderr.read()
        told += line
    port = json.loads(told)["port"]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/_stcore/health")
    assert connection.getresponse().status == 200
    connection.close()
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 0, said
    assert "Traceback" not in said
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
