"""A clock that tests play: time passes only when somebody sleeps."""

from __future__ import annotations

import asyncio


class Clock:
    """Call it for the moment; `slept` lists every sleep."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)
