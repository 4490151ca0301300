"""A mock provider that costs next to nothing: one answer, after a latency, to any chat request.

The tests' mock provider speaks three dialects and remembers everything; beside several hundred
requests a second on two cores it would itself be what is measured. This one is a bare protocol
that counts: how many requests came, how many prompts came twice, how many were under way at once.

    python -m benchmarks.evals_server [--latency-ms 50]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from benchmarks.rounds import ROOT

TEXT = "one two three"
_ANSWER = json.dumps(
    {
        "id": "chatcmpl-mock",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "mock-model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": TEXT, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11},
    }
).encode()
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_REPLY = _HEAD % len(_ANSWER) + _ANSWER
_ELSE = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


class Counts:
    """What came so far."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.prompts: Counter[str] = Counter()
        self.under_way = self.most_at_once = 0

    def as_dict(self) -> dict[str, int]:
        return {
            "requests": self.prompts.total(),
            "prompts": len(self.prompts),
            "sent_again": self.prompts.total() - len(self.prompts),
            "most_at_once": self.most_at_once,
        }


class _Exchange(asyncio.Protocol):
    """One connection, one request at a time."""

    _transport: asyncio.Transport

    def __init__(self, counts: Counts, latency_s: float) -> None:
        self._counts, self._latency_s = counts, latency_s
        self._heard = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard += data
        end = self._heard.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._heard[:end]).lower()
        found = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        whole = end + 4 + int(found or 0)
        if len(self._heard) < whole:
            return
        body = bytes(self._heard[end + 4 : whole])
        del self._heard[:whole]
        if not head.startswith(b"post") or b"/chat/completions" not in head:
            self._transport.write(_ELSE)
            return
        counts = self._counts
        counts.prompts[_prompt_of(body)] += 1
        counts.under_way += 1
        counts.most_at_once = max(counts.most_at_once, counts.under_way)
        asyncio.get_running_loop().call_later(self._latency_s, self._answer)

    def _answer(self) -> None:
        self._counts.under_way -= 1
        if not self._transport.is_closing():
            self._transport.write(_REPLY)


def _prompt_of(body: bytes) -> str:
    content = json.loads(body)["messages"][-1]["content"]
    return content if isinstance(content, str) else str(content[-1]["text"])


async def _serve(latency_s: float) -> None:
    counts, loop = Counts(), asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Exchange(counts, latency_s), "127.0.0.1", 0, backlog=1024
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(counts.as_dict()), flush=True)
        if line.strip() == "forget":
            counts.forget()


class CountingServer:
    """The server in a process of its own; `base_url` is where it listens."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._asking, self._answers = process.stdin, process.stdout
        self.pid = process.pid
        self.base_url = self._answers.readline().strip()

    def counts(self, *, forget: bool = False) -> dict[str, Any]:
        """`requests`, `prompts` (different ones), `sent_again` and `most_at_once` so far."""
        self._asking.write("forget\n" if forget else "tell\n")
        self._asking.flush()
        told: dict[str, Any] = json.loads(self._answers.readline())
        return told


@contextlib.contextmanager
def counting(latency_ms: float) -> Iterator[CountingServer]:
    """Serve until the block ends."""
    command = [sys.executable, "-m", "benchmarks.evals_server", "--latency-ms", str(latency_ms)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as process:
        try:
            yield CountingServer(process)
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    asyncio.run(_serve(parser.parse_args().latency_ms / 1000))


if __name__ == "__main__":
    main()
