"""In replay nothing reaches a socket, whichever client asks, from wherever it asks."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gzip
import http.client
import http.server
import io
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import types
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import anthropic
import httpx
import openai
import pytest
import requests
import urllib3

import toolkit as tk
from tests.replay.requests_client import body, by_requests
from tests.servers.mock_provider import MockProvider
from toolkit.errors import CassetteError, CassetteMissing, KeyRequired
from toolkit.replay.cassettes.exchange import canonical_body
from toolkit.replay.cassettes.open_cassette import cassette

THREADS, PER_THREAD = 64, 200


class Sink:
    """A listening socket that counts who connects and answers nobody."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self._listening.getsockname()[1]

    def close(self) -> int:
        """How many connections have come: accepted ones wait in the backlog until they are."""
        self._listening.setblocking(False)
        count = 0
        try:
            while True:
                self._listening.accept()[0].close()
                count += 1
        except BlockingIOError:
            return count
        finally:
            self._listening.close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    made = Sink()
    yield made
    assert made.close() == 0, "something connected in replay"


@pytest.fixture
def provider() -> Iterator[MockProvider]:
    with MockProvider() as server:
        yield server


# ---- clients: each takes (base URL, number) and gives the status ---------------------------------


def by_urllib3(base: str, number: int) -> int:
    return urllib3.request("POST", f"{base}/chat/completions", json=body(number)).status


def by_http_client(base: str, number: int) -> int:
    host = base.removeprefix("http://").partition("/")[0]
    connection = http.client.HTTPConnection(host, timeout=30)
    headers = {"content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body(number)), headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def by_urllib(base: str, number: int) -> int:
    data = json.dumps(body(number)).encode()
    asked = urllib.request.Request(f"{base}/chat/completions", data, {"content-type": "x/json"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return int(answer.status)


def by_httpx(base: str, number: int) -> int:
    return httpx.post(f"{base}/chat/completions", json=body(number), timeout=30).status_code


def by_async_httpx(base: str, number: int) -> int:
    async def go() -> int:
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.post(f"{base}/chat/completions", json=body(number))
            return answer.status_code

    return asyncio.run(go())


def by_aiohttp(base: str, number: int) -> int:
    async def go() -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{base}/chat/completions", json=body(number)) as answer,
        ):
            await answer.read()
            return answer.status

    return asyncio.run(go())


CLIENTS: tuple[Callable[[str, int], int], ...] = (
    by_requests,
    by_urllib3,
    by_http_client,
    by_urllib,
    by_httpx,
    by_async_httpx,
    by_aiohttp,
)


# ---- the clients of the providers, each over the transport it has today --------------------------


def by_openai(base: str, number: int) -> int:
    client = openai.OpenAI(api_key="unused", base_url=base, max_retries=0)
    client.chat.completions.create(model="m", messages=body(number)["messages"])
    return 200


def by_async_openai(base: str, number: int) -> int:
    async def go() -> None:
        async with openai.AsyncOpenAI(api_key="unused", base_url=base, max_retries=0) as client:
            await client.chat.completions.create(model="m", messages=body(number)["messages"])

    asyncio.run(go())
    return 200


def by_anthropic(base: str, number: int) -> int:
    origin = base.removesuffix("/v1")
    client = anthropic.Anthropic(api_key="unused", base_url=origin, max_retries=0)
    client.messages.create(model="m", max_tokens=9, messages=body(number)["messages"])
    return 200


def by_async_anthropic(base: str, number: int) -> int:
    origin = base.removesuffix("/v1")

    async def go() -> None:
        async with anthropic.AsyncAnthropic(
            api_key="unused", base_url=origin, max_retries=0
        ) as client:
            await client.messages.create(model="m", max_tokens=9, messages=body(number)["messages"])

    asyncio.run(go())
    return 200


def by_anthropic_over_aiohttp(base: str, number: int) -> int:
    origin = base.removesuffix("/v1")

    async def go() -> None:
        transport = anthropic.DefaultAioHttpClient()
        async with anthropic.AsyncAnthropic(
            api_key="unused", base_url=origin, max_retries=0, http_client=transport
        ) as client:
            await client.messages.create(model="m", max_tokens=9, messages=body(number)["messages"])

    asyncio.run(go())
    return 200


def by_litellm(base: str, number: int) -> int:
    import litellm

    litellm.completion(
        "openai/m", body(number)["messages"], api_base=base, api_key="unused", num_retries=0
    )
    return 200


def by_async_litellm(base: str, number: int) -> int:
    import litellm

    messages = body(number)["messages"]
    asyncio.run(
        litellm.acompletion(
            "hosted_vllm/m", messages, api_base=base, api_key="unused", num_retries=0
        )
    )
    return 200


def by_botocore(base: str, number: int) -> int:
    botocore_session = pytest.importorskip("botocore.session")
    client = botocore_session.get_session().create_client(
        "bedrock-runtime",
        endpoint_url=base.removesuffix("/v1"),
        region_name="us-east-1",
        aws_access_key_id="unused",
        aws_secret_access_key="unused",
        config=pytest.importorskip("botocore.config").Config(retries={"max_attempts": 0}),
    )
    content = [{"text": f"question {number}"}]
    answer = client.converse(modelId="m", messages=[{"role": "user", "content": content}])
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])


def by_httpx2(base: str, number: int) -> int:
    httpx2 = pytest.importorskip("httpx2")
    url = f"{base}/chat/completions"
    return int(httpx2.post(url, json=body(number), timeout=30).status_code)


def by_httpx_on_uvloop(base: str, number: int) -> int:
    async def go() -> int:
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.post(f"{base}/chat/completions", json=body(number))
            return answer.status_code

    return on_uvloop(go())


def by_aiohttp_on_uvloop(base: str, number: int) -> int:
    async def go() -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{base}/chat/completions", json=body(number)) as answer,
        ):
            await answer.read()
            return answer.status

    return on_uvloop(go())


def on_uvloop(work: Coroutine[Any, Any, Any]) -> Any:
    """Run it on uvloop, whose sockets are opened in C."""
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


SDK_CLIENTS: tuple[Callable[[str, int], int], ...] = (
    by_openai,
    by_async_openai,
    by_anthropic,
    by_async_anthropic,
    by_anthropic_over_aiohttp,
    by_litellm,
    by_async_litellm,
    by_botocore,
    by_httpx2,
    by_httpx_on_uvloop,
    by_aiohttp_on_uvloop,
)


# One of each transport: a process of its own has to import them all.
WITHOUT_NETWORK = (*CLIENTS, by_openai, by_anthropic, by_botocore, by_httpx_on_uvloop)


@pytest.mark.parametrize("client", SDK_CLIENTS, ids=lambda client: client.__name__)
def test_a_client_of_a_provider_is_recorded_and_replayed_and_refused(client, provider, sink):
    with cassette("closed/sdk", mode="record", secrets=()) as opened:
        assert client(provider.base_url, 1) == 200
        assert len(opened) == 1
    count = len(provider.requests)
    base = f"http://127.0.0.1:{sink.port}/v1"
    with cassette("closed/sdk", mode="replay", secrets=()) as opened:
        assert client(base, 1) == 200
        assert not opened.unplayed
    with cassette("closed/sdk", mode="replay", secrets=()) as opened:
        # An SDK wraps the error of its transport in one of its own.
        with contextlib.suppress(Exception):
            client(base, 2)
        assert opened.misses
        opened.discard()
    assert len(provider.requests) == count


def test_a_replay_works_where_there_is_no_network_at_all(provider, tmp_path):
    """In a network namespace of its own, even the loopback interface is down."""
    if subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system does not let a test make a network namespace")
    clients = WITHOUT_NETWORK
    with cassette("closed/namespace", mode="record", secrets=()):
        for number, client in enumerate(clients):
            client(provider.base_url, number)
    script = (
        "from tests.replay.test_fails_closed import *\n"
        "with cassette('closed/namespace', mode='replay', secrets=()) as opened:\n"
        "    for number, client in enumerate(WITHOUT_NETWORK):\n"
        f"        assert client({provider.base_url!r}, number) == 200, client\n"
        "    assert not opened.unplayed\n"
    )
    count = len(provider.requests)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", script],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert len(provider.requests) == count


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
def test_a_client_is_recorded_and_replayed_and_refused(client, provider, sink):
    with cassette("closed/case", mode="record", secrets=()):
        assert client(provider.base_url, 1) == 200
    count = len(provider.requests)
    with cassette("closed/case", mode="replay", secrets=()) as opened:
        assert client(f"http://127.0.0.1:{sink.port}/v1", 1) == 200
        assert not opened.unplayed
    with pytest.raises(CassetteMissing), cassette("closed/case", mode="replay", secrets=()):
        client(f"http://127.0.0.1:{sink.port}/v1", 2)
    assert len(provider.requests) == count


def by_a_socket(provider: MockProvider) -> None:
    """What a client with an HTTP of its own does, niquests for example."""
    with socket.create_connection(("127.0.0.1", provider.port)) as sock:
        sock.sendall(b"GET /v1/models HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n")
        assert b"200" in sock.recv(4096)


def by_asyncio(provider: MockProvider) -> None:
    async def go() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", provider.port)
        writer.close()

    asyncio.run(go())


def by_uvloop(provider: MockProvider) -> None:
    async def go() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", provider.port)
        writer.close()

    on_uvloop(go())


@pytest.mark.parametrize("act", [by_a_socket, by_asyncio, by_uvloop])
def test_a_client_that_cannot_be_recorded_is_reported(act, provider):
    where = f"127.0.0.1:{provider.port}"
    with (
        pytest.warns(UserWarning, match=f"closed/other: .*not recorded: {where}") as caught,
        cassette("closed/other", mode="record", secrets=()),
    ):
        act(provider)
        act(provider)
        by_httpx(provider.base_url, 1)
        by_requests(provider.base_url, 2)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_a_recording_of_nothing_names_the_client_that_cannot_be_recorded(provider):
    with (
        pytest.raises(CassetteError, match="nothing was recorded") as error,
        cassette("closed/other", mode="record", secrets=()),
    ):
        by_a_socket(provider)
    assert f"127.0.0.1:{provider.port}" in error.value.hint


def test_an_allowed_host_is_no_reason_to_warn(provider):
    """Warnings are errors in these tests."""
    hosts = ["127.0.0.1"]
    with cassette("closed/other", mode="record", secrets=(), allow_hosts=hosts):
        by_a_socket(provider)
        by_httpx(provider.base_url, 1)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
def test_threads_are_all_recorded_and_all_replayed(client, provider, sink):
    with (
        cassette("closed/threads", mode="record", secrets=()) as opened,
        ThreadPoolExecutor(16) as pool,
    ):
        list(pool.map(lambda number: client(provider.base_url, number), range(48)))
        assert len(opened) == 48
    base = f"http://127.0.0.1:{sink.port}/v1"
    with (
        cassette("closed/threads", mode="replay", secrets=()) as opened,
        ThreadPoolExecutor(16) as pool,
    ):
        assert set(pool.map(lambda number: client(base, number), range(48))) == {200}
        assert not opened.unplayed


def test_64_threads_with_200_requests_each_reach_no_socket(provider, sink):
    """Half of the requests were recorded; the others must fail, and none may connect."""
    with cassette("closed/many", mode="record", secrets=()):
        session = requests.Session()
        for number in range(THREADS):
            session.post(f"{provider.base_url}/chat/completions", json=body(number), timeout=30)
    base = f"http://127.0.0.1:{sink.port}/v1"
    refused = []

    def work(thread: int) -> int:
        answered = 0
        with requests.Session() as session:
            for turn in range(PER_THREAD):
                number = thread if turn == 0 else 1000 + turn
                try:
                    url = f"{base}/chat/completions"
                    answered += session.post(url, json=body(number), timeout=30).status_code == 200
                except CassetteMissing:
                    refused.append(number)
        return answered

    with (
        pytest.raises(CassetteMissing),
        cassette("closed/many", mode="replay", secrets=()),
        ThreadPoolExecutor(THREADS) as pool,
    ):
        assert sum(pool.map(work, range(THREADS))) == THREADS
    assert len(refused) == THREADS * (PER_THREAD - 1)


# ---- what is not HTTP through a known library ----------------------------------------------------


def raw_socket(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=5)


def raw_connect_ex(port: int) -> None:
    with socket.socket() as sock:
        sock.connect_ex(("127.0.0.1", port))


def raw_asyncio(port: int) -> None:
    asyncio.run(asyncio.open_connection("127.0.0.1", port))


def raw_datagram(port: int) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", ("127.0.0.1", port))


def bare_httpcore(port: int) -> None:
    import httpcore

    httpcore.request("GET", f"http://127.0.0.1:{port}/")


def below_python(port: int) -> None:
    """The socket in C below `socket.socket`."""
    import _socket

    _socket.socket().connect(("127.0.0.1", port))


def message_datagram(port: int) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendmsg([b"x"], [], 0, ("127.0.0.1", port))


def raw_uvloop(port: int) -> None:
    on_uvloop(asyncio.open_connection("127.0.0.1", port))


def uvloop_datagram(port: int) -> None:
    async def go() -> None:
        loop = asyncio.get_running_loop()
        address = ("127.0.0.1", port)
        await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=address)

    on_uvloop(go())


def websocket(port: int) -> None:
    from websockets.sync.client import connect

    connect(f"ws://127.0.0.1:{port}", open_timeout=30)


def websocket_on_uvloop(port: int) -> None:
    from websockets.asyncio.client import connect

    async def go() -> None:
        await connect(f"ws://127.0.0.1:{port}", open_timeout=30)

    on_uvloop(go())


@pytest.mark.parametrize(
    "act",
    [
        raw_socket,
        raw_connect_ex,
        raw_asyncio,
        raw_datagram,
        message_datagram,
        below_python,
        bare_httpcore,
        raw_uvloop,
        uvloop_datagram,
        websocket,
        websocket_on_uvloop,
    ],
)
def test_another_way_to_the_network_is_refused(act, provider, sink):
    with cassette("closed/case", mode="record", secrets=()):
        by_httpx(provider.base_url, 1)
    with (
        pytest.raises(CassetteMissing, match=f"127.0.0.1:{sink.port}"),
        cassette("closed/case", mode="replay", secrets=()),
    ):
        act(sink.port)


def look_up_on_uvloop(name: str) -> None:
    async def go() -> None:
        await asyncio.get_running_loop().getaddrinfo(name, 443)

    on_uvloop(go())


@pytest.mark.parametrize(
    "look_up",
    [
        lambda name: socket.getaddrinfo(name, 443),
        socket.gethostbyname,
        socket.gethostbyname_ex,
        look_up_on_uvloop,
    ],
)
def test_no_name_is_looked_up(look_up, provider):
    with cassette("closed/case", mode="record", secrets=()):
        by_httpx(provider.base_url, 1)
    with (
        pytest.raises(CassetteMissing, match=r"api\.example\.com"),
        cassette("closed/case", mode="replay", secrets=()),
    ):
        look_up("api.example.com")


def test_a_client_with_a_network_stack_of_its_own_is_refused(provider, monkeypatch):
    """libcurl and gRPC open their sockets where neither Python nor an audit hook sees them."""
    with cassette("closed/case", mode="record", secrets=()):
        by_httpx(provider.base_url, 1)
    # Only now: modules that the recording imports look for a real pycurl.
    pycurl = types.ModuleType("pycurl")
    pycurl.Curl = pytest.fail
    monkeypatch.setitem(sys.modules, "pycurl", pycurl)
    with (
        pytest.raises(CassetteMissing, match="through pycurl") as error,
        cassette("closed/case", mode="replay", secrets=()),
    ):
        pycurl.Curl()
    assert "httpx" in error.value.hint
    assert pycurl.Curl is pytest.fail


def test_a_client_in_c_is_refused_under_any_name_and_when_imported_late(
    provider, monkeypatch, tmp_path
):
    with cassette("closed/case", mode="record", secrets=()):
        by_httpx(provider.base_url, 1)
    (tmp_path / "primp.py").write_text("def Client(): raise SystemExit('it connects')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "primp", raising=False)
    pycurl, user = types.ModuleType("pycurl"), types.ModuleType("user_of_pycurl")
    pycurl.Curl = user.OurCurl = pytest.fail
    monkeypatch.setitem(sys.modules, "pycurl", pycurl)
    monkeypatch.setitem(sys.modules, "user_of_pycurl", user)
    with (
        pytest.raises(CassetteMissing),
        cassette("closed/case", mode="replay", secrets=()),
    ):
        with pytest.raises(CassetteMissing, match="through pycurl"):
            user.OurCurl()
        import primp

        with pytest.raises(CassetteMissing, match="through primp"):
            primp.Client()
    assert user.OurCurl is pytest.fail
    with pytest.raises(SystemExit, match="it connects"):
        primp.Client()


@pytest.mark.parametrize(
    "start",
    [
        lambda url: subprocess.run(["curl", url], check=False),
        lambda url: subprocess.run(f"cd . && curl -s {url}", shell=True, check=False),
        lambda url: subprocess.run(["bash", "-c", f"wget {url}"], check=False),
        lambda url: os.system(f"curl {url}"),
        lambda url: subprocess.run(["env", "A=1", "curl", url], check=False),
        lambda url: subprocess.run(["timeout", "5", "/usr/bin/wget", url], check=False),
        lambda url: subprocess.run(["nc", "127.0.0.1", "9"], check=False),
        lambda url: subprocess.run(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9"], check=False),
        lambda url: asyncio.run(asyncio.create_subprocess_exec("/usr/bin/curl", url)),
    ],
)
def test_a_program_that_speaks_http_is_not_started(start, provider, sink):
    with cassette("closed/case", mode="record", secrets=()):
        by_httpx(provider.base_url, 1)
    with (
        pytest.raises(CassetteMissing, match=r"through (curl|wget|nc|/dev/tcp)"),
        cassette("closed/case", mode="replay", secrets=()),
    ):
        start(f"http://127.0.0.1:{sink.port}/")


def test_other_programs_and_allowed_hosts_can_be_started(provider):
    with cassette("closed/case", mode="record", secrets=()):
        by_httpx(provider.base_url, 1)
    allowed = ("docs.example.com",)
    with cassette("closed/case", mode="replay", secrets=(), allow_hosts=allowed):
        by_httpx(provider.base_url, 1)
        done = subprocess.run(
            [sys.executable, "-c", "print('curl http://x')"], capture_output=True, check=True
        )
        assert done.stdout.strip() == b"curl http://x"
        command = ["curl", "--version", "--url", "https://docs.example.com"]
        with contextlib.suppress(FileNotFoundError):
            subprocess.run(command, capture_output=True, check=False)


def test_a_server_of_the_test_can_start_in_replay(provider):
    with cassette("closed/case", mode="record", secrets=()):
        by_httpx(provider.base_url, 1)
    with cassette("closed/case", mode="replay", secrets=()) as opened:
        with http.server.HTTPServer(("", 0), http.server.BaseHTTPRequestHandler):
            pass
        opened.discard()
        assert not opened.misses


def test_what_the_test_allows_can_be_reached(provider):
    with cassette("closed/case", mode="record", secrets=()):
        by_httpx(provider.base_url, 1)
    allowed = [f"127.0.0.1:{provider.port}"]
    with cassette("closed/case", mode="replay", secrets=(), allow_hosts=allowed) as opened:
        with socket.create_connection(("127.0.0.1", provider.port)):
            pass
        opened.discard()
    first, second = socket.socketpair()
    first.close()
    second.close()


def test_a_connection_from_before_is_not_used_in_replay(provider):
    with cassette("closed/case", mode="record", secrets=()):
        by_requests(provider.base_url, 1)
    with requests.Session() as session:
        session.post(f"{provider.base_url}/chat/completions", json=body(9), timeout=30)
        count = len(provider.requests)
        with pytest.raises(CassetteMissing), cassette("closed/case", mode="replay", secrets=()):
            session.post(f"{provider.base_url}/chat/completions", json=body(2), timeout=30)
        assert len(provider.requests) == count
        # Afterwards the session is as usable as before.
        session.post(f"{provider.base_url}/chat/completions", json=body(3), timeout=30)
        assert len(provider.requests) == count + 1


def test_a_connection_subclass_with_its_own_connect_is_replayed(provider, sink):
    class Own(http.client.HTTPConnection):
        def connect(self) -> None:
            self.sock = socket.create_connection((self.host, self.port))

    def call(port: int) -> bytes:
        connection = Own("127.0.0.1", port)
        connection.request("GET", "/v1/models")
        return connection.getresponse().read()

    with cassette("closed/own", mode="record", secrets=()):
        recorded = call(provider.port)
    with cassette("closed/own", mode="replay", secrets=()):
        assert json.loads(call(sink.port)) == json.loads(recorded)


# ---- processes ----------------------------------------------------------------------------------


METHODS = [m for m in ("fork", "spawn") if m in multiprocessing.get_all_start_methods()]


@pytest.mark.parametrize("method", METHODS)
def test_child_processes_are_recorded_and_replayed(method, provider, sink):
    context = multiprocessing.get_context(method)

    def run(base: str) -> set[int]:
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            return set(pool.map(by_requests, [base] * 8, range(8)))

    with cassette("closed/processes", mode="record", secrets=()):
        assert run(provider.base_url) == {200}
    assert len(provider.requests) == 8
    with cassette("closed/processes", mode="replay", secrets=()) as opened:
        assert run(f"http://127.0.0.1:{sink.port}/v1") == {200}
        assert not opened.unplayed


@pytest.mark.parametrize("method", METHODS)
def test_a_child_process_fails_closed(method, provider, sink):
    with cassette("closed/processes", mode="record", secrets=()):
        by_requests(provider.base_url, 1)
    context = multiprocessing.get_context(method)
    with cassette("closed/processes", mode="replay", secrets=()) as opened:
        process = context.Process(target=by_requests, args=(f"http://127.0.0.1:{sink.port}/v1", 7))
        process.start()
        process.join(600)
        assert process.exitcode == 1
        opened.discard()


# ---- equal requests -----------------------------------------------------------------------------


def test_a_multipart_body_matches_whatever_its_boundary_is(provider, sink):
    def upload(base: str) -> int:
        files = {"file": ("a.txt", io.BytesIO(b"content"), "text/plain")}
        return requests.post(f"{base}/files", files=files, data={"n": "1"}, timeout=30).status_code

    with cassette("closed/multipart", mode="record", secrets=()):
        recorded = upload(provider.base_url)
    with cassette("closed/multipart", mode="replay", secrets=()):
        assert upload(f"http://127.0.0.1:{sink.port}/v1") == recorded


def test_a_multipart_body_of_aiohttp_matches(provider, sink):
    async def upload(base: str) -> int:
        form = aiohttp.FormData({"n": "1"})
        form.add_field("file", b"content", filename="a.txt", content_type="text/plain")
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{base}/files", data=form) as answer,
        ):
            return answer.status

    with cassette("closed/multipart", mode="record", secrets=()):
        recorded = asyncio.run(upload(provider.base_url))
    with cassette("closed/multipart", mode="replay", secrets=()):
        assert asyncio.run(upload(f"http://127.0.0.1:{sink.port}/v1")) == recorded


@pytest.mark.parametrize(
    ("one", "other"),
    [(b'{"t":1}', b'{"t": 1.0}'), (b'{"t":100}', b'{"t":1e2}'), (b'{"t":-0.0}', b'{"t":0}')],
)
def test_numbers_of_equal_value_are_equal(one, other):
    assert canonical_body(one) == canonical_body(other)


@pytest.mark.parametrize(
    ("one", "other"), [(b'{"t":1}', b'{"t":true}'), (b'{"t":1.5}', b'{"t":1}'), (b"1", b'"1"')]
)
def test_values_that_differ_stay_different(one, other):
    assert canonical_body(one) != canonical_body(other)


def test_a_compressed_request_matches_its_text(provider, sink):
    def post(base: str, level: int) -> int:
        data = gzip.compress(json.dumps(body(1)).encode(), level, mtime=level)
        headers = {"content-encoding": "gzip", "content-type": "application/json"}
        url = f"{base}/files"
        return requests.post(url, data=data, headers=headers, timeout=30).status_code

    with cassette("closed/gzip", mode="record", secrets=()) as opened:
        recorded = post(provider.base_url, 1)
        assert b"question 1" in opened._recorders[0].asked.request_body
    with cassette("closed/gzip", mode="replay", secrets=()):
        assert post(f"http://127.0.0.1:{sink.port}/v1", 9) == recorded


# ---- keys and litellm ---------------------------------------------------------------------------


def test_a_replay_needs_no_key(home, provider, monkeypatch):
    tk.providers.add("p", base_url=provider.base_url, local=True, api_key="sk-" + "k" * 40)
    monkeypatch.setattr("keyring.get_password", lambda *_: None, raising=False)
    with cassette("closed/keyless", mode="record", secrets=()):
        first = tk.complete("p/m", "hello").text
    tk.keys.remove("p")
    tk.providers.update("p", needs_key=True)
    with pytest.raises(KeyRequired):
        tk.complete("p/m", "hello")
    with cassette("closed/keyless", mode="replay", secrets=()):
        assert tk.complete("p/m", "hello").text == first


def test_litellm_imported_inside_a_cassette_needs_no_network(provider, tmp_path):
    with cassette("closed/litellm", mode="record", secrets=()):
        by_httpx(provider.base_url, 1)
    script = (
        "import toolkit as tk\n"
        "with tk.cassette('closed/litellm', mode='replay', secrets=()) as c:\n"
        "    import litellm, os\n"
        "    assert os.environ['LITELLM_LOCAL_MODEL_COST_MAP'] == 'True'\n"
        "    c.discard()\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("LITELLM_LOCAL_MODEL_COST_MAP", None)
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_patches_are_gone_after_the_cassette(provider):
    before = socket.socket.connect, http.client.HTTPConnection.send, threading.Thread.start
    with cassette("closed/case", mode="record", secrets=()):
        by_httpx(provider.base_url, 1)
    with cassette("closed/case", mode="replay", secrets=()):
        by_httpx(provider.base_url, 1)
    after = socket.socket.connect, http.client.HTTPConnection.send, threading.Thread.start
    assert before == after
