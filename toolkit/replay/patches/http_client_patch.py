"""The patch of `http.client`, and so of urllib3, requests, botocore, httplib2 and urllib.

A connection keeps its own class and code; only its socket is replaced. vcrpy replaces the
connection classes instead and disables its replacements, for the whole process, each time a
connection is made or used, so that other threads reached the real server.
"""

from __future__ import annotations

import http.client
import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import h11

from toolkit.replay.cassettes.exchange import Exchange, is_loopback

if TYPE_CHECKING:
    from toolkit.replay.cassettes.recording import ExchangeRecorder
    from toolkit.replay.patches.patch import Patch, Session

MAX_HEAD_BYTES: Final = 256 * 1024
# A local server that is started within a recording is polled until it is ready. A replay starts
# no server, so these requests would never be played.
_HEALTH_PATHS: Final = ("/health", "/metrics", "/props")
_NO_BODY: Final = (204, 304)
_FRAMING: Final = ("content-length", "transfer-encoding", "content-encoding", "connection")


def build_http_client_patches(cassette: Session) -> Iterator[Patch]:
    """The patches for a cassette."""
    connection = http.client.HTTPConnection
    if cassette.mode == "record":
        yield connection, "send", _recording_send(cassette, connection.send)
        return
    yield connection, "send", _replaying_send(cassette, connection.send)
    yield connection, "getresponse", _replaying_getresponse(connection.getresponse)
    for kind in _with_subclasses(connection):
        if "connect" in vars(kind):
            yield kind, "connect", _replaying_connect(cassette)


def _with_subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _with_subclasses(child)


# ---- replay -------------------------------------------------------------------------------------


def _replaying_connect(cassette: Session) -> Callable[[Any], None]:
    def connect(self: Any) -> None:
        self.sock = _ReplayingSocket(cassette, self)
        if hasattr(self, "is_verified"):  # urllib3 warns of https connections that are not
            self.is_verified = True

    return connect


def _replaying_send(cassette: Session, real: Any) -> Callable[[Any, Any], None]:
    def send(self: Any, data: Any) -> None:
        sock = self.sock
        if not (isinstance(sock, _ReplayingSocket) and sock.cassette is cassette):
            if sock is not None:  # a kept-alive connection, made before the cassette was opened
                sock.close()
            self.sock = _ReplayingSocket(cassette, self)
        real(self, data)

    return send


def _replaying_getresponse(real: Any) -> Callable[[Any], Any]:
    def getresponse(self: Any) -> Any:
        response = real(self)
        if isinstance(self.sock, _ReplayingSocket):
            self.sock = None  # no pool may keep it after the cassette is closed
        return response

    return getresponse


class _ReplayingSocket:
    """Replaces the socket of `http.client`; nothing is connected."""

    def __init__(self, cassette: Session, connection: Any) -> None:
        self.cassette = cassette
        self._request = _RequestParser(connection)

    def sendall(self, data: bytes) -> None:
        self._request.feed(data)

    send = sendall

    def makefile(self, mode: str = "rb", *_: Any, **__: Any) -> io.BufferedReader:
        """The recorded answer as bytes of HTTP; the request is complete when this is called.

        Raises:
            CassetteMissing: the request is not in the cassette.
        """
        asked = self._request.scrubbed(self.cassette)
        answer = self.cassette.find_answer(asked)
        assert answer is not None
        return io.BufferedReader(_PiecesReader(_http_bytes(answer, asked.method)))

    def settimeout(self, timeout: float | None) -> None:
        """Do nothing: there is no wait."""

    def setsockopt(self, *_: Any) -> None:
        """Do nothing: there is no socket option."""

    def shutdown(self, how: int) -> None:
        """Do nothing: there is no connection."""

    def close(self) -> None:
        """Do nothing: there is no socket."""


class _PiecesReader(io.RawIOBase):
    """Returns the recorded chunks one by one, like a socket."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def _http_bytes(answer: Exchange, method: str) -> Iterator[bytes]:
    """The answer as HTTP, in chunked encoding if it was recorded in several chunks."""
    has_body = answer.status not in _NO_BODY and method != "HEAD"
    is_chunked = has_body and (len(answer.chunks) > 1 or answer.cut == "broken")
    headers = [
        (name, value)
        for name, values in answer.answer_headers.items()
        for value in values
        if name.lower() not in _FRAMING or not has_body
    ]
    if is_chunked:
        headers.append(("transfer-encoding", "chunked"))
    elif has_body:
        headers.append(("content-length", str(len(answer.body))))
    lines = [f"HTTP/1.1 {answer.status} {answer.reason}", *(f"{k}: {v}" for k, v in headers)]
    yield ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
    if not has_body:
        return
    for piece in filter(None, answer.pieces()):
        yield b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece
    if is_chunked and answer.cut != "broken":
        yield b"0\r\n\r\n"


# ---- record -------------------------------------------------------------------------------------


def _recording_send(cassette: Session, real: Any) -> Callable[[Any, Any], None]:
    def send(self: Any, data: Any) -> None:
        if self.sock is None and self.auto_open:
            self.connect()
        is_tunnel = isinstance(data, bytes) and data.startswith(b"CONNECT ")
        if self.sock is not None and not is_tunnel:
            sock = self.sock
            if isinstance(sock, _RecordingSocket) and sock.cassette is not cassette:
                sock = sock.real
            if not isinstance(sock, _RecordingSocket):
                self.sock = _RecordingSocket(cassette, self, sock)
        real(self, data)

    return send


class _RecordingSocket:
    """A real socket whose traffic is recorded."""

    def __init__(self, cassette: Session, connection: Any, real: Any) -> None:
        self.cassette = cassette
        self.real = real
        self._connection = connection
        self._request = _RequestParser(connection)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def sendall(self, data: bytes) -> None:
        if self._request.is_answered:
            self._request = _RequestParser(self._connection)
        self._request.feed(data)
        self.real.sendall(data)

    def makefile(self, mode: str = "rb", *_: Any, **__: Any) -> io.BufferedReader:
        request = self._request
        request.is_answered = True
        raw = self.real.makefile("rb", buffering=0)
        if not self.cassette.is_open or request.is_health_check:
            return io.BufferedReader(raw)
        recorder = self.cassette.start_recording(request.scrubbed(self.cassette))
        return io.BufferedReader(_RecordingReader(raw, _AnswerParser(request.method, recorder)))


class _RecordingReader(io.RawIOBase):
    def __init__(self, raw: Any, answer: _AnswerParser) -> None:
        self._raw, self._answer = raw, answer

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        try:
            size: int | None = self._raw.readinto(buffer)
        except (OSError, TimeoutError):
            self._answer.break_off()
            raise
        if size is not None:
            self._answer.feed(bytes(buffer[:size]))
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


# ---- HTTP/1.1 in both directions ----------------------------------------------------------------


class _RequestParser:
    """Parses a request from the bytes that a client sends."""

    def __init__(self, connection: Any) -> None:
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._connection = connection
        self._head: h11.Request | None = None
        self._body = bytearray()
        self.is_answered: bool = False

    def feed(self, data: bytes) -> None:
        self._parser.receive_data(bytes(data))
        while True:
            event = self._parser.next_event()
            if isinstance(event, h11.Request):
                self._head = event
            elif isinstance(event, h11.Data):
                self._body += event.data
            else:
                return

    @property
    def method(self) -> str:
        return self._head.method.decode() if self._head else "GET"

    @property
    def is_health_check(self) -> bool:
        path = self._target.partition("?")[0]
        return path in _HEALTH_PATHS and is_loopback(self._connection.host)

    @property
    def _target(self) -> str:
        return self._head.target.decode("latin-1") if self._head else "/"

    def scrubbed(self, cassette: Session) -> Exchange:
        """The request for the cassette."""
        pairs = self._head.headers if self._head else ()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}
        return cassette.scrub_request(self.method, self._uri(), headers, bytes(self._body))

    def _uri(self) -> str:
        if "://" in self._target.partition("?")[0]:  # through a proxy, without a tunnel
            return self._target
        connection = self._connection
        is_https = connection.default_port == http.client.HTTPS_PORT
        tunnel_host = getattr(connection, "_tunnel_host", None)
        host = tunnel_host or connection.host
        port = (connection._tunnel_port if tunnel_host else connection.port) or None
        shown_host = f"[{host}]" if ":" in host and not host.startswith("[") else host
        shown_port = "" if port in (None, connection.default_port) else f":{port}"
        return f"{'https' if is_https else 'http'}://{shown_host}{shown_port}{self._target}"


class _AnswerParser:
    """Parses the bytes of an answer and passes headers and chunks to the recorder."""

    def __init__(self, method: str, recorder: ExchangeRecorder) -> None:
        self._recorder = recorder
        self._is_over = False
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._parser.send(h11.Request(method=method, target="/", headers=[("host", "recorded")]))
        self._parser.send(h11.EndOfMessage())

    def feed(self, data: bytes) -> None:
        """Process received bytes; empty bytes mean that the connection ended."""
        if self._is_over:
            return
        try:
            self._parser.receive_data(data)
            self._read()
        except h11.RemoteProtocolError:
            self.break_off()

    def _read(self) -> None:
        while not self._is_over:
            event = self._parser.next_event()
            if isinstance(event, h11.Response):
                reason = event.reason.decode("latin-1")
                head = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in event.headers]
                self._recorder.keep_head(event.status_code, reason, head)
            elif isinstance(event, h11.Data):
                self._recorder.keep_piece(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self._is_over = True
                self._recorder.end()
            elif not isinstance(event, h11.InformationalResponse):
                return

    def break_off(self) -> None:
        """Record that the connection broke."""
        if not self._is_over:
            self._is_over = True
            self._recorder.end("broken")
