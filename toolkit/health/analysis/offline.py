"""Whether it was this machine that was offline: pure, over what all providers were seen to do.

Two unrelated providers that are lost within a minute, while nobody remote answers, say that the
network of this machine was gone; such failures count against nobody.
"""

from __future__ import annotations

import socket
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from toolkit.health.analysis.state import Evidence

NEAR: Final = timedelta(seconds=60)
"""What lies so close in time is held against each other."""

# TEST-NET-1 and the documentation prefix: nothing answers there, and nothing is sent.
_ELSEWHERE: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def is_lost(seen: Evidence) -> bool:
    """Whether nothing came back: a failure of the network, not an answer."""
    return seen.outcome == "bad" and seen.blame == "network"


def discount_offline(
    seen: Mapping[str, Sequence[Evidence]], origins: Mapping[str, str], local: Collection[str] = ()
) -> dict[str, list[Evidence]]:
    """The same evidence, with what this machine itself lost made neutral.

    Args:
        seen: evidence by provider, oldest first.
        origins: origin by provider; two providers at one origin are one witness.
        local: providers on this machine or network, which are no witnesses.
    """
    remote = {name: items for name, items in seen.items() if name not in local}
    answers = sorted(
        item.at
        for items in remote.values()
        for item in items
        if item.outcome != "neutral" and not is_lost(item)
    )
    lost = sorted(
        (item.at, origins.get(name, name))
        for name, items in remote.items()
        for item in items
        if is_lost(item)
    )
    told = _Witnesses(answers, lost)
    return {
        name: list(items)
        if name in local
        else [told.judge(item, origins.get(name, name)) for item in items]
        for name, items in seen.items()
    }


@dataclass(frozen=True, slots=True)
class _Witnesses:
    """Moments at which somebody remote answered or was lost, in order."""

    answers: Sequence[datetime]
    lost: Sequence[tuple[datetime, str]]

    def judge(self, item: Evidence, origin: str) -> Evidence:
        if not is_lost(item) or self._has_answer(item.at) or not self._has_other(item.at, origin):
            return item
        return replace(item, outcome="neutral", reason="this machine was offline")

    def _has_answer(self, at: datetime) -> bool:
        first = bisect_left(self.answers, at - NEAR)
        return first < len(self.answers) and self.answers[first] <= at + NEAR

    def _has_other(self, at: datetime, origin: str) -> bool:
        first = bisect_left(self.lost, (at - NEAR, ""))
        last = bisect_right(self.lost, (at + NEAR, "\uffff"))
        return any(other != origin for _, other in self.lost[first:last])


def has_route(targets: Iterable[tuple[int, str]] = _ELSEWHERE) -> bool:
    """Whether the system knows a way out of this machine; connecting UDP sends no packet."""
    for family, address in targets:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as out:
                out.connect((address, 9))
        except OSError:
            continue
        return True
    return False
