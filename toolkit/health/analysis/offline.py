"""Detect that this machine was offline; a pure function over the evidence of all providers.

If two unrelated providers fail within a minute while no remote provider answers, the network of
this machine was down; such failures do not count against any provider.
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
"""Outcomes this close in time are compared with each other."""

# TEST-NET-1 and the documentation prefix: nothing answers there, and nothing is sent.
_ELSEWHERE: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def is_lost(seen: Evidence) -> bool:
    """Whether there was no response at all."""
    return seen.outcome == "bad" and seen.blame == "network"


def discount_offline(
    seen: Mapping[str, Sequence[Evidence]], origins: Mapping[str, str], local: Collection[str] = ()
) -> dict[str, list[Evidence]]:
    """Return the evidence with failures of this machine's network made neutral.

    Args:
        seen: evidence by provider, oldest first.
        origins: origin by provider; two providers at one origin count as one.
        local: providers on this machine or network, which are not considered.
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
    witnesses = _Witnesses(answers, lost)
    return {
        name: list(items)
        if name in local
        else [witnesses.judge(item, origins.get(name, name)) for item in items]
        for name, items in seen.items()
    }


@dataclass(frozen=True, slots=True)
class _Witnesses:
    """Times at which remote providers answered or failed, in order."""

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
    """Whether the system has a route to the internet; connecting a UDP socket sends no packet."""
    for family, address in targets:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as out:
                out.connect((address, 9))
        except OSError:
            continue
        return True
    return False
