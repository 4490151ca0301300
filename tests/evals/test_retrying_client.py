"""One bad minute of a provider fails no samples; a dead provider does not hang the run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from toolkit.errors import BudgetExceeded, NoProviderAvailable, ServerError
from toolkit.evals.running.retrying_client import RetryingClient
from toolkit.records import Reply


class Scripted:
    """A client that raises what its script says, then answers."""

    def __init__(self, *script: Exception) -> None:
        self.script = list(script)
        self.asked = 0

    async def complete(self, model: str, messages: Any, **params: Any) -> Reply:
        self.asked += 1
        await asyncio.sleep(0)
        if self.script:
            raise self.script.pop(0)
        return Reply(text="yes", call_id="c", request_id="r", model=model)


def breaker_open(wait_s: float | None = 0.01) -> NoProviderAvailable:
    return NoProviderAvailable("breaker open", cause="breaker_open", retry_after=wait_s)


def ask(client: Scripted, max_wait_s: float = 60.0) -> Reply:
    async def run() -> Reply:
        retrying = RetryingClient(client, lambda model: model.split("/")[0], max_wait_s)
        return await retrying.complete("p/m", [])

    return asyncio.run(run())


def test_an_open_circuit_breaker_is_waited_for() -> None:
    client = Scripted(breaker_open(), breaker_open(), breaker_open())
    assert ask(client).text == "yes"
    assert client.asked == 4


@pytest.mark.parametrize("error", [breaker_open(None), ServerError("no")])
def test_what_waiting_does_not_help_is_raised_at_once(error: Exception) -> None:
    client = Scripted(error)
    with pytest.raises(type(error)):
        ask(client)
    assert client.asked == 1


def test_waiting_has_an_end() -> None:
    client = Scripted(*[breaker_open() for _ in range(1000)])
    with pytest.raises(NoProviderAvailable):
        ask(client, max_wait_s=0.1)
    assert 1 < client.asked < 1000


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
        retrying = RetryingClient(Capped(), lambda model: "p")
        return await asyncio.gather(*(retrying.complete("p/m", []) for _ in range(5)))

    assert [reply.text for reply in asyncio.run(run())] == ["yes"] * 5


def test_a_cap_that_refuses_alone_ends_it() -> None:
    with pytest.raises(BudgetExceeded):
        ask(Scripted(BudgetExceeded("full")))


def test_calls_that_are_all_refused_at_once_all_end() -> None:
    """The budget is looked up beside the loop, so that many wait for it when it refuses all."""

    class Empty(Scripted):
        async def complete(self, model: str, messages: Any, **params: Any) -> Reply:
            await asyncio.sleep(0.001)
            raise BudgetExceeded("nothing is left")

    async def run() -> list[Any]:
        client = RetryingClient(Empty(), lambda model: "p")
        calls = [client.complete("p/m", []) for _ in range(20)]
        return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30)

    assert {type(found) for found in asyncio.run(run())} == {BudgetExceeded}
