"""Serves the answers of rebuilt bug reports as each file says.

An answer is `json`, `text`, or `frames`: pairs of a wait in milliseconds and what is sent. A
frame that is an object is sent as `data: <json>`, `{"$done": 1}` as `data: [DONE]`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Mapping
from typing import Any, Self


class ReportServer:
    """Answers every request with the report that was put on.

    Attributes:
        requests: how many requests came since then.
    """

    def __init__(self) -> None:
        self.requests = 0
        self._report: Mapping[str, Any] = {}
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def put_on(self, report: Mapping[str, Any]) -> None:
        self._report, self.requests = report, 0

    @property
    def base_url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(10)
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1").lower()
                size = int(head.partition("content-length:")[2].split("\r\n")[0] or 0)
                body = json.loads(await reader.readexactly(size))
                self.requests += 1
                if not await self._answer(reader, writer, is_stream=bool(body.get("stream"))):
                    break
        writer.close()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_stream: bool
    ) -> bool:
        report = self._report
        name = "answers_stream" if is_stream and "answers_stream" in report else "answers"
        answer = (report.get(name) or report["answers_stream"])[0]
        headers = dict(answer.get("headers", {}))
        if "frames" not in answer:
            data = _body(answer)
            headers = {"content-type": "application/json", **headers, "content-length": len(data)}
            writer.write(_head(headers) + data)
            await writer.drain()
            return True
        chunked = answer.get("framing", "chunked") == "chunked"
        headers = {"content-type": "text/event-stream", **headers}
        headers["transfer-encoding" if chunked else "connection"] = (
            "chunked" if chunked else "close"
        )
        writer.write(_head(headers))
        for wait_ms, frame in answer["frames"]:
            await writer.drain()
            await asyncio.sleep(wait_ms / 1000)
            pieces = _cut(_encode(frame), bytewise=bool(answer.get("bytewise")))
            writer.writelines(b"%x\r\n%s\r\n" % (len(p), p) if chunked else p for p in pieces)
        await writer.drain()
        if answer.get("end") == "hang":
            await reader.read()
            return False
        if answer.get("end") == "cut":
            writer.transport.abort()
            return False
        if chunked:
            writer.write(b"0\r\n\r\n")
        return chunked


def _head(headers: Mapping[str, Any]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode("latin1")


def _body(answer: Mapping[str, Any]) -> bytes:
    if "hex" in answer:
        return bytes.fromhex(answer["hex"])
    text = answer["text"] if "text" in answer else json.dumps(answer["json"])
    return str(text).encode()


def _encode(frame: Any) -> bytes:
    if isinstance(frame, str):
        return frame.encode("utf-8", "surrogatepass")
    if "hex" in frame:
        return bytes.fromhex(frame["hex"])
    if "$repeat" in frame:
        return str(frame["$repeat"]).encode() * int(frame["times"])
    text = "[DONE]" if "$done" in frame else json.dumps(frame, ensure_ascii=False)
    return b"data: " + text.encode() + b"\n\n"


def _cut(data: bytes, *, bytewise: bool) -> list[bytes]:
    size = 1 if bytewise else max(1, len(data))
    return [data[at : at + size] for at in range(0, len(data), size)]
