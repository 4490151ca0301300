"""Recorded exchanges found by the hash of their request, each played once and in order."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from toolkit.replay.cassettes.exchange import Exchange, parse_json
from toolkit.replay.patches.child_processes import SharedFolder

_MAX_SHOWN_DIFFERENCES = 3
_MAX_SHOWN = 60


class RequestIndex:
    """The exchanges of a cassette, ready to be played; safe to use from several threads."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self._exchanges = exchanges
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[int]] = defaultdict(deque)
        self._shared: SharedFolder | None = None
        self._leaves: dict[int, dict[str, Any]] = {}  # of requests that a miss was compared with
        for index, exchange in enumerate(exchanges):
            self._waiting[exchange.key].append(index)

    def __len__(self) -> int:
        return len(self._exchanges)

    def play(self, key: str) -> Exchange | None:
        """The next unplayed exchange for the request, or None."""
        with self._lock:
            waiting = self._waiting.get(key)
            while waiting:
                index = waiting.popleft()
                if self._shared is None or self._shared.claim(index):
                    return self._exchanges[index]
            return None

    def share(self, folder: SharedFolder) -> None:
        """Share the exchanges with other processes."""
        with self._lock:
            waiting = {index for indexes in self._waiting.values() for index in indexes}
            for index in set(range(len(self._exchanges))) - waiting:
                folder.claim(index)
            self._shared = folder

    def forget_lock(self) -> None:
        """Get a new lock after a fork: another thread of the parent may have held the old one."""
        self._lock = threading.Lock()

    def knows(self, key: str) -> bool:
        """Whether the request was ever recorded, played or not."""
        return key in self._waiting

    @property
    def unplayed(self) -> list[Exchange]:
        """Exchanges that were not requested yet, in recorded order."""
        left = {index for waiting in self._waiting.values() for index in waiting}
        if self._shared is not None:
            left -= self._shared.played()
        return [self._exchanges[index] for index in sorted(left)]

    def describe_nearest(self, asked: Exchange) -> str:
        """Describe the differences between `asked` and the most similar recorded request."""
        if not self._exchanges:
            return "the cassette contains no requests"
        leaves = _leaves(asked.request_body)
        differences = min(
            (
                list(_differences(e, asked, self._leaves_of(i), leaves))
                for i, e in enumerate(self._exchanges)
            ),
            key=len,
        )
        text = "; ".join(differences[:_MAX_SHOWN_DIFFERENCES])
        more = len(differences) - _MAX_SHOWN_DIFFERENCES
        return f"{text}; and {more} more" if more > 0 else text

    def _leaves_of(self, index: int) -> dict[str, Any]:
        if index not in self._leaves:
            self._leaves[index] = _leaves(self._exchanges[index].request_body)
        return self._leaves[index]


def _differences(
    recorded: Exchange,
    asked: Exchange,
    recorded_leaves: dict[str, Any],
    asked_leaves: dict[str, Any],
) -> Iterator[str]:
    for name in ("method", "uri"):
        before, after = getattr(recorded, name), getattr(asked, name)
        if name == "uri":
            before, after = urlsplit(before).path, urlsplit(after).path
        if before != after:
            yield f"{name}: recorded {before}, requested {after}"
    before, after = recorded_leaves, asked_leaves
    for path in dict.fromkeys([*before, *after]):
        if path not in before or path not in after or before[path] != after[path]:
            yield f"{path}: recorded {_shown(before, path)}, requested {_shown(after, path)}"


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
