"""A piece is stamped when it came, not when its reader or the event loop had time for it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
import time

import pytest
import trustme

from tests.calls.asking import Asking, make_provider
from tests.servers import Answer, MockProvider
from toolkit.calls.transport.connections import Sessions
from toolkit.calls.transport.exchange_record import Deadlines, WireRecord
from toolkit.calls.transport.guarded import StreamBody, find_handler
from toolkit.calls.transport.receive_timestamps import TimestampedProtocol, TimestampedSocket


async def wait_for_arrivals(handler, count):
    while len(handler._received_ns) < count:
        await asyncio.sleep(0.005)


async def open_stream(sessions, server):
    session = await sessions.require_session(local=True)
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
    return await session.post(
        f"{server.base_url}/chat/completions", json=body, trace_request_ctx=a_record()
    )


def a_record():
    deadlines = Deadlines(5, 5, 5, time.monotonic() + 30)
    return WireRecord(origin="http://127.0.0.1", stream=True, deadlines=deadlines)


def test_what_waited_for_its_reader_keeps_the_moment_in_which_it_came():
    async def run(server):
        sessions = Sessions()
        response = await open_stream(sessions, server)
        handler = find_handler(response)
        assert handler is not None, "aiohttp no longer uses the protocol that we gave it"
        record = a_record()
        record.headers_ns = handler.pop_arrival(0)
        await wait_for_arrivals(handler, 1)
        came_before_ns = time.monotonic_ns()
        data = await StreamBody(response, record).read(5)
        response.close()
        await sessions.aclose()
        return record, data, came_before_ns

    with MockProvider() as server:
        server.default = Answer(chunks=["a", "b", "c"], chunk_delay_s=0.05)
        record, data, came_before_ns = asyncio.run(run(server))
    assert data
    assert record.headers_ns < record.first_byte_ns < came_before_ns
    assert record.last_byte_ns == record.first_byte_ns


def test_an_answer_on_a_kept_connection_has_no_stamp_of_the_one_before():
    with MockProvider() as server:
        asking = Asking(make_provider(server.base_url))

        async def run():
            for _ in range(3):
                assert [piece async for piece in asking.stream("hello")]

        asyncio.run(run())
    for call in asking.calls:
        assert 0 < call.headers_ms <= call.ttft_ms <= call.duration_ms
    assert [call.connection_reused for call in asking.calls] == [False, True, True]


def is_stamped_by_kernel() -> bool:
    """Whether this kernel stamps what a TCP socket receives."""
    with socket.create_server(("127.0.0.1", 0)) as listener, TimestampedSocket() as reader:
        reader.request_timestamps()
        reader.connect(listener.getsockname())
        with listener.accept()[0] as writer:
            writer.sendall(b"x")
            reader.recv(1)
        return reader.received_ns is not None


kernel_stamps = pytest.mark.skipif(
    not is_stamped_by_kernel(), reason="this kernel does not stamp what TCP sockets receive"
)


class SlowServer(threading.Thread):
    """Sends one event of a stream when it is told to, and notes the time before and after."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(daemon=True)
        self.listener, self.tls = socket.create_server(("127.0.0.1", 0)), tls
        scheme = "http" if tls is None else "https"
        self.base_url = f"{scheme}://127.0.0.1:{self.listener.getsockname()[1]}/v1"
        self.go, self.gone = threading.Event(), threading.Event()
        self.before_ns = 0

    def run(self) -> None:
        connection = self.listener.accept()[0]
        if self.tls is not None:
            connection = self.tls.wrap_socket(connection, server_side=True)
        with self.listener, connection:
            connection.recv(65536)
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            connection.sendall(head + b"transfer-encoding: chunked\r\n\r\n")
            self.go.wait(60)
            self.before_ns = time.monotonic_ns()
            connection.sendall(b"7\r\ndata: x\r\n")
            self.gone.set()
            connection.recv(1)


@pytest.fixture
def tls(monkeypatch, tmp_path):
    """The certificate of a server on this machine, which the client trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@kernel_stamps
@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "tls"])
def test_what_comes_while_the_event_loop_is_blocked_keeps_the_moment_in_which_it_came(
    tls, is_secure
):
    server = SlowServer(tls if is_secure else None)
    server.start()

    async def run():
        sessions = Sessions()
        response = await open_stream(sessions, server)
        record = a_record()
        body = StreamBody(response, record)
        server.go.set()
        assert server.gone.wait(60)  # this blocks the loop
        time.sleep(0.2)
        blocked_until_ns = time.monotonic_ns()
        assert await body.read(60) == b"data: x"
        response.close()
        await sessions.aclose()
        return record, blocked_until_ns

    record, blocked_until_ns = asyncio.run(run())
    # Two clocks are read one after the other, and the machine may be busy with something else.
    assert server.before_ns - 50_000_000 <= record.last_byte_ns < blocked_until_ns - 50_000_000


@pytest.mark.parametrize(("limit", "data"), [(0, b"hello, wo"), (5, b"hello"), (99, b"hello, wo")])
def test_what_tls_reads_into_a_buffer_is_what_a_plain_socket_reads(limit, data):
    """TLS reads with `recv_into`, which keeps the rules of `socket.recv_into`."""
    left, right = socket.socketpair()
    with left, right, TimestampedSocket(left.family, left.type, left.proto, left.detach()) as ours:
        buffer = bytearray(9)
        right.sendall(b"hello, world")
        assert ours.recv_into(memoryview(buffer), min(limit, 9)) == len(data)
        assert bytes(buffer[: len(data)]) == data
        assert buffer[len(data) :] == bytes(9 - len(data))
        right.close()
        assert ours.recv(3) and ours.recv_into(buffer) in range(10)


@kernel_stamps
def test_what_is_read_into_a_buffer_has_the_stamp_of_the_kernel():
    with socket.create_server(("127.0.0.1", 0)) as listener, TimestampedSocket() as reader:
        reader.request_timestamps()
        reader.connect(listener.getsockname())
        with listener.accept()[0] as writer:
            before_ns = time.monotonic_ns()
            writer.sendall(b"x")
            buffer = bytearray(4)
            assert reader.recv_into(buffer) == 1 and buffer == b"x\0\0\0"
            stamp_ns, after_ns = reader.received_ns, time.monotonic_ns()
        # Two clocks are read one after the other, and the machine may be busy.
        assert before_ns - 50_000_000 <= stamp_ns <= after_ns
        assert reader.recv_into(buffer) == 0, "the end of the connection"


def connected_protocol(loop, received_ns):
    protocol = TimestampedProtocol(loop)
    protocol._socket = TimestampedSocket()
    protocol._socket.received_ns = received_ns
    return protocol


def test_without_a_stamp_of_the_kernel_the_clock_is_read():
    async def run():
        protocol = connected_protocol(asyncio.get_running_loop(), None)
        before_ns = time.monotonic_ns()
        protocol.data_received(b"x")
        protocol._socket.close()
        return before_ns, protocol.pop_arrival(0), time.monotonic_ns()

    before_ns, stamp_ns, after_ns = asyncio.run(run())
    assert before_ns <= stamp_ns <= after_ns


def test_a_wall_clock_that_was_set_does_not_reverse_the_order_of_what_came():
    async def run():
        now_ns = time.monotonic_ns()
        protocol = connected_protocol(asyncio.get_running_loop(), now_ns)
        protocol.data_received(b"x")
        protocol._socket.received_ns = now_ns - 3600 * 10**9
        protocol.data_received(b"y")
        protocol._socket.close()
        return now_ns, list(protocol._received_ns)

    now_ns, stamps = asyncio.run(run())
    assert stamps == [now_ns, now_ns]


def test_a_stamp_is_read_from_what_the_kernel_sends_with_the_data(monkeypatch):
    real = socket.socket.recvmsg

    def stamped(self, size, ancillary_bytes=0, flags=0):
        data, _, message_flags, address = real(self, size, ancillary_bytes, flags)
        sent_ns = time.time_ns() - 5 * 10**9
        stamp = struct.pack("@ll", *divmod(sent_ns, 10**9))
        return data, [(socket.SOL_SOCKET, 35, stamp)], message_flags, address

    if not hasattr(socket.socket, "recvmsg"):
        pytest.skip("this platform has no recvmsg")
    left, right = socket.socketpair()
    with left, right:
        reader = TimestampedSocket(left.family, left.type, left.proto, left.detach())
        with reader:
            right.sendall(b"hello")
            monkeypatch.setattr(socket.socket, "recvmsg", stamped)
            before_ns = time.monotonic_ns()
            assert reader.recv(5) == b"hello"
            after_ns = time.monotonic_ns()
    busy_ns = 2 * 10**9
    assert before_ns - busy_ns <= reader.received_ns + 5 * 10**9 <= after_ns + busy_ns
