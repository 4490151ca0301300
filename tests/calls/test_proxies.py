"""Proxies and authorities of the environment are respected as the ecosystem does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import socketserver
import ssl
import threading

import pytest
import trustme

from tests.calls.asking import Asking, make_provider, quick_settings
from tests.servers.fault_server import FaultServer
from tests.servers.faults import FAULTS
from tests.servers.mock_provider import MockProvider
from tests.servers.threaded import QuietHandler, ThreadedServer
from toolkit import errors
from toolkit.calls.transport.connections import find_proxy

PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("exceptions", "url", "is_proxied"),
    [
        ("", "https://api.example.com/v1", True),
        ("example.com", "https://api.example.com/v1", False),
        (".example.com", "https://api.example.com/v1", False),
        ("*.example.com", "https://api.example.com/v1", False),
        ("notexample.com", "https://api.example.com/v1", True),
        ("ample.com", "https://api.example.com/v1", True),
        ("other, api.example.com:8443", "https://api.example.com:8443/v1", False),
        ("api.example.com:8443", "https://api.example.com/v1", True),
        ("10.0.0.0/8", "https://10.1.2.3/v1", False),
        ("10.0.0.0/8", "https://11.1.2.3/v1", True),
        ("[::1]", "https://[::1]:8443/v1", False),
        ("::1/128", "https://[::1]/v1", False),
        ("*", "https://api.example.com/v1", False),
    ],
)
def test_no_proxy_is_read_in_every_form(monkeypatch, exceptions, url, is_proxied):
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", exceptions)
    assert (find_proxy(url, None) == PROXY) is is_proxied


def test_the_setting_stands_above_the_environment(monkeypatch):
    assert find_proxy("https://a.example/v1", None) is None
    monkeypatch.setenv("https_proxy", "other.example:1")
    assert find_proxy("https://a.example/v1", None) == "http://other.example:1"
    assert find_proxy("https://a.example/v1", PROXY) == PROXY
    assert find_proxy("http://a.example/v1", None) is None


@pytest.fixture
def proxy():
    """A proxy that answers by itself and remembers what it was asked for."""
    asked = []
    body = (
        b'{"object":"chat.completion","choices":[{"index":0,"finish_reason":"stop",'
        b'"message":{"role":"assistant","content":"through the proxy"}}]}'
    )

    class Handler(QuietHandler):
        def do_POST(self):
            asked.append(self.path)
            self.read_body()
            self.answer(body, headers={"content-type": "application/json"})

    with ThreadedServer(Handler) as server:
        yield server.origin, asked


def test_a_cloud_provider_goes_through_the_proxy_of_the_environment(monkeypatch, proxy):
    url, asked = proxy
    monkeypatch.setenv("HTTP_PROXY", url)
    provider = make_provider("http://provider.example/v1", is_local=False)
    reply = asyncio.run(Asking(provider).complete())
    assert reply.text == "through the proxy"
    assert asked == ["http://provider.example/v1/chat/completions"]


def test_a_local_provider_never_goes_through_a_proxy(monkeypatch, proxy):
    url, asked = proxy
    monkeypatch.setenv("HTTP_PROXY", url)
    with MockProvider() as server:
        server.enqueue("straight")
        local = Asking(make_provider(server.base_url), quick_settings(proxy=url))
        assert asyncio.run(local.complete()).text == "straight"
    assert asked == []


def test_a_proxy_that_is_down_is_named_in_the_error(monkeypatch):
    provider = make_provider("http://provider.example/v1", is_local=False)
    by = Asking(provider, quick_settings(proxy="http://127.0.0.1:9"))
    with pytest.raises(errors.ConnectionFailed, match="proxy"):
        asyncio.run(by.complete())


@pytest.fixture
def tunnel(monkeypatch, tmp_path):
    """A provider behind TLS that only a proxy reaches: its address, and what was asked for."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("provider.example").configure_cert(context)
    asked = []
    with FaultServer(FAULTS, tls=context) as server:

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                asked.append(self.rfile.readline().decode().split()[:2])
                while self.rfile.readline().strip():
                    pass
                with socket.create_connection(("127.0.0.1", server.port)) as upstream:
                    self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    back = threading.Thread(
                        target=_pass_on, args=(upstream, self.connection), daemon=True
                    )
                    back.start()
                    _pass_on(self.connection, upstream)
                    back.join()

        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as proxy:
            proxy.daemon_threads = True
            threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True).start()
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.server_address[1]}")
            yield "https://provider.example/good/v1", asked
            proxy.shutdown()


def _pass_on(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def test_tls_goes_through_the_proxy_of_the_environment_unseen(monkeypatch, tunnel):
    url, asked = tunnel
    reply = asyncio.run(Asking(make_provider(url, is_local=False)).complete())
    assert reply.text == "all is well"
    assert asked == [["CONNECT", "provider.example:443"]]
    monkeypatch.setenv("NO_PROXY", ".example")
    assert find_proxy(url, None) is None
