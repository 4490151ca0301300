"""Recorded exchanges found by the hash of their request, each played once and in order."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from toolkit.replay.cassettes.exchange import Exchange, parse_json

_MAX_TOLD = 3
_MAX_SHOWN = 60


class RequestIndex:
    """The exchanges of a cassette, ready to be played; safe to use from several threads."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self._exchanges = exchanges
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[int]] = defaultdict(deque)
        for index, exchange in enumerate(exchanges):
            self._waiting[exchange.key].append(index)

    def __len__(self) -> int:
        return len(self._exchanges)

    def find_next(self, key: str) -> Exchange | None:
        """The next unplayed exchange of that request, without playing it."""
        waiting = self._waiting.get(key)
        return self._exchanges[waiting[0]] if waiting else None

    def play(self, key: str) -> Exchange | None:
        """The next unplayed exchange of that request; None when there is none (left)."""
        with self._lock:
            waiting = self._waiting.get(key)
            return self._exchanges[waiting.popleft()] if waiting else None

    def knows(self, key: str) -> bool:
        """Whether the request was ever recorded, played or not."""
        return key in self._waiting

    @property
    def unplayed(self) -> list[Exchange]:
        """What nobody has asked for yet, in recorded order."""
        left = sorted(index for waiting in self._waiting.values() for index in waiting)
        return [self._exchanges[index] for index in left]

    def describe_nearest(self, asked: Exchange) -> str:
        """In what `asked` differs from the recorded request most like it, in words."""
        if not self._exchanges:
            return "the cassette holds no request"
        differences = min(
            (list(_differences(recorded, asked)) for recorded in self._exchanges), key=len
        )
        told = "; ".join(differences[:_MAX_TOLD])
        more = len(differences) - _MAX_TOLD
        return f"{told}; and {more} more" if more > 0 else told


def _differences(recorded: Exchange, asked: Exchange) -> Iterator[str]:
    for name in ("method", "uri"):
        before, after = getattr(recorded, name), getattr(asked, name)
        if name == "uri":
            before, after = urlsplit(before).path, urlsplit(after).path
        if before != after:
            yield f"{name}: recorded {before}, asked {after}"
    before, after = _leaves(recorded.request_body), _leaves(asked.request_body)
    for path in dict.fromkeys([*before, *after]):
        if path not in before or path not in after or before[path] != after[path]:
            yield f"{path}: recorded {_shown(before, path)}, asked {_shown(after, path)}"


def _leaves(body: bytes) -> dict[str, Any]:
    parsed = parse_json(body)
    found: dict[str, Any] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                walk(item, f"{path}.{name}" if path else name)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                walk(item, f"{path}[{index}]")
        else:
            found[path or "body"] = value

    walk(parsed if parsed is not None else body.decode("utf-8", "replace"), "")
    return found


def _shown(leaves: dict[str, Any], path: str) -> str:
    if path not in leaves:
        return "nothing"
    text = repr(leaves[path])
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
