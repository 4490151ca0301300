"""One bad minute of a provider fails no samples; a dead provider does not hang the run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from toolkit.errors import BudgetExceeded, NoProviderAvailable, ServerError
from toolkit.evals.running.retrying_client import RetryingClient
from toolkit.records import Reply


class Scripted:
    """A desk that does what it is told, one thing after the other, and then answers."""

    def __init__(self, *script: Exception) -> None:
        self.script = list(script)
        self.asked = 0

    async def complete(self, model: str, messages: Any, **params: Any) -> Reply:
        self.asked += 1
        await asyncio.sleep(0)
        if self.script:
            raise self.script.pop(0)
        return Reply(text="yes", call_id="c", request_id="r", model=model)


def left_alone(wait_s: float | None = 0.01) -> NoProviderAvailable:
    return NoProviderAvailable("left alone", cause="breaker_open", retry_after=wait_s)


def ask(desk: Scripted, patience_s: float = 60.0) -> Reply:
    async def run() -> Reply:
        patient = RetryingClient(desk, lambda model: model.split("/")[0], patience_s)
        return await patient.complete("p/m", [])

    return asyncio.run(run())


def test_a_provider_that_is_left_alone_is_waited_for() -> None:
    desk = Scripted(left_alone(), left_alone(), left_alone())
    assert ask(desk).text == "yes"
    assert desk.asked == 4


@pytest.mark.parametrize("error", [left_alone(None), ServerError("no")])
def test_what_waiting_does_not_help_is_raised_at_once(error: Exception) -> None:
    desk = Scripted(error)
    with pytest.raises(type(error)):
        ask(desk)
    assert desk.asked == 1


def test_patience_has_an_end() -> None:
    desk = Scripted(*[left_alone() for _ in range(1000)])
    with pytest.raises(NoProviderAvailable):
        ask(desk, patience_s=0.1)
    assert 1 < desk.asked < 1000


def test_a_cap_that_refuses_is_asked_again_while_a_call_is_under_way() -> None:
    class Capped(Scripted):
        """Room for one call at a time."""

        def __init__(self) -> None:
            super().__init__()
            self.inside = 0

        async def complete(self, model: str, messages: Any, **params: Any) -> Reply:
            if self.inside:
                raise BudgetExceeded("full")
            self.inside += 1
            try:
                return await super().complete(model, messages, **params)
            finally:
                self.inside -= 1

    async def run() -> list[Reply]:
        patient = RetryingClient(Capped(), lambda model: "p")
        return await asyncio.gather(*(patient.complete("p/m", []) for _ in range(5)))

    assert [reply.text for reply in asyncio.run(run())] == ["yes"] * 5


def test_a_cap_that_refuses_alone_ends_it() -> None:
    with pytest.raises(BudgetExceeded):
        ask(Scripted(BudgetExceeded("full")))
