"""Budgets hold with requests in progress, contradictory limits, in all processes."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import toolkit as tk
from tests.servers import Answer, MockProvider
from toolkit.calls.chat_request import build_request
from toolkit.errors import BudgetExceeded, InvalidInput
from toolkit.pricing.budget import Budgets, Cap, Worst, parse_caps
from toolkit.records import Call, ChatRequest, Reply
from toolkit.settings import Settings
from toolkit.store.reservations import Charged, Hold, Reservations
from toolkit.toolkit import Toolkit

DAY = Cap(kind="day", limit_usd=Decimal("1.00"))


def request(model: str = "p/m", **options: object) -> ChatRequest:
    return build_request(model, "hello", dict(options))


def call(asked: ChatRequest, cost: str | None, **fields: object) -> Call:
    values: dict[str, object] = {
        "call_id": f"{asked.request_id}-1",
        "request_id": asked.request_id,
        "attempt": 1,
        "attempt_kind": "first",
        "origin": asked.origin,
        "origin_id": asked.origin_id,
        "started_at": datetime.now(UTC),
        "seq": 1,
        "provider": asked.model.partition("/")[0],
        "model": asked.model,
        "status": "ok",
        "http_status": 200,
        "cost_usd": None if cost is None else Decimal(cost),
        "tags": asked.tags,
    }
    return Call(**{**values, **fields})  # type: ignore[arg-type]


def make_budgets(
    path: Path,
    *caps: Cap,
    worst: str | None = "0.30",
    allows_unpriced: bool = False,
    spent: Callable[[Cap, datetime | None, datetime], Decimal] = lambda *_: Decimal(0),
) -> Budgets:
    def worst_case(model: str, asked: ChatRequest) -> Worst:
        if worst is None:
            return Worst(usd=Decimal(0), output_tokens=0, has_limit=False, unpriced=("price",))
        return Worst(usd=Decimal(worst), output_tokens=100, has_limit=True)

    budgets = Budgets(
        Reservations(path / "budgets.sqlite"),
        worst_case,
        spent,
        lambda *_: Decimal("0.05"),
        allows_unpriced,
    )
    for cap in caps:
        budgets.set(cap)
    return budgets


def test_a_request_that_does_not_fit_is_refused_with_all_figures(tmp_path: Path) -> None:
    budgets = make_budgets(tmp_path, DAY, spent=lambda *_: Decimal("0.50"))
    first = request()
    budgets.before(first)
    with pytest.raises(BudgetExceeded) as caught:
        budgets.before(request())
    error = caught.value
    assert (error.cap, error.cap_usd, error.spent_usd) == ("day", Decimal("1.00"), Decimal("0.50"))
    assert (error.reserved_usd, error.needed_usd) == (Decimal("0.30"), Decimal("0.30"))
    assert "$0.5 spent, $0.3 reserved by 1 in progress" in error.message
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert error.free_at == midnight + timedelta(days=1)
    assert error.waits_for_others
    budgets.ended(first, [call(first, "0.10")])
    budgets.before(request())


def test_the_actual_cost_replaces_the_reservation(tmp_path: Path) -> None:
    budgets = make_budgets(tmp_path, DAY)
    for _ in range(7):
        asked = request()
        budgets.before(asked)
        budgets.ended(asked, [call(asked, "0.10")])
    state = budgets.reservations.read("day", DAY.period_at(datetime.now(UTC)))
    assert (state.spent_usd, state.reserved_usd, state.requests) == (Decimal("0.70"), 0, 0)
    budgets.before(request())
    with pytest.raises(BudgetExceeded):
        budgets.before(request())


def test_a_request_may_take_exactly_what_is_left_and_nothing_beyond(tmp_path: Path) -> None:
    budgets = make_budgets(tmp_path / "equal", DAY, spent=lambda *_: Decimal("0.70"))
    budgets.before(request())
    more = Decimal("0.700000000001")
    budgets = make_budgets(tmp_path / "more", DAY, spent=lambda *_: more)
    with pytest.raises(BudgetExceeded):
        budgets.before(request())


def test_a_budget_that_is_spent_exactly_is_used_up(tmp_path: Path) -> None:
    make_budgets(tmp_path / "left", spent=lambda *_: Decimal("0.99")).require_left(DAY)
    with pytest.raises(BudgetExceeded, match="used up"):
        make_budgets(tmp_path / "reached", spent=lambda *_: Decimal("1.00")).require_left(DAY)


def test_every_attempt_counts_and_an_answer_without_a_cost_is_assumed(tmp_path: Path) -> None:
    budgets = make_budgets(tmp_path, DAY)
    asked = request()
    budgets.before(asked)
    attempts = [
        call(asked, "0.02", call_id="paid", status="error"),
        call(asked, None, call_id="cut", status="cancelled"),
        call(asked, None, call_id="timeout", status="error", http_status=None,
             error_code="TIMEOUT"),
        call(asked, None, call_id="refused", status="error", http_status=429),
        call(asked, None, call_id="unsent", status="error", http_status=None),
        call(asked, "9.00", call_id="replayed", source="replay"),
    ]  # fmt: skip
    budgets.ended(asked, attempts)
    state = budgets.reservations.read("day", DAY.period_at(datetime.now(UTC)))
    assert state.spent_usd == Decimal("0.12")


@pytest.mark.parametrize(
    ("cap", "inside", "outside"),
    [
        (Cap(kind="provider", name="p", limit_usd=Decimal(0)), {}, {"model": "q/m"}),
        (Cap(kind="model", name="p/m", limit_usd=Decimal(0)), {}, {"model": "p/other"}),
        (
            Cap(kind="tag", name="team=red", limit_usd=Decimal(0)),
            {"tags": {"team": "red"}},
            {"tags": {"team": "blue"}},
        ),
        (
            Cap(kind="run", name="r1", limit_usd=Decimal(0), period="ever"),
            {"origin": "eval", "origin_id": "r1"},
            {"origin": "eval", "origin_id": "r2"},
        ),
        (
            Cap(kind="token", name="t", limit_usd=Decimal(0)),
            {"origin": "gateway", "tags": {"token": "t"}},
            {"origin": "chat", "tags": {"token": "t"}},
        ),
        (Cap(kind="health", limit_usd=Decimal(0)), {"origin": "health"}, {}),
    ],
)
def test_a_budget_applies_to_its_own_requests_only(
    tmp_path: Path, cap: Cap, inside: dict[str, object], outside: dict[str, object]
) -> None:
    budgets = make_budgets(tmp_path, cap)
    with pytest.raises(BudgetExceeded, match="would be exceeded"):
        budgets.before(request(**inside))  # type: ignore[arg-type]
    budgets.before(request(**outside))  # type: ignore[arg-type]


def test_the_dearest_model_of_a_failover_chain_is_reserved(tmp_path: Path) -> None:
    dear = {"p/cheap": Decimal("0.01"), "q/dear": Decimal("0.80")}
    budgets = make_budgets(tmp_path, DAY, Cap(kind="provider", name="p", limit_usd=Decimal(1)))
    budgets.worst_case = lambda model, asked: Worst(
        usd=dear[model], output_tokens=1, has_limit=True
    )
    budgets.before(request("p/cheap", fallbacks=["q/dear"]))
    today = DAY.period_at(datetime.now(UTC))
    assert budgets.reservations.read("day", today).reserved_usd == Decimal("0.80")
    assert budgets.reservations.read("provider:p", today).reserved_usd == Decimal("0.01")


def test_another_attempt_is_reserved_beside_what_the_failed_ones_cost(tmp_path: Path) -> None:
    own = Cap(kind="provider", name="p", limit_usd=Decimal(5))
    budgets = make_budgets(tmp_path, DAY, own, worst="0.30")
    asked, other = request("p/m", fallbacks=["q/m"]), request("q/m")
    budgets.before(asked)
    budgets.before_retry(asked, [call(asked, None, http_status=500)])
    failed = [call(asked, "0.20", call_id="a", status="error")]
    budgets.before_retry(asked, failed)
    today = DAY.period_at(datetime.now(UTC))
    assert budgets.reservations.read("day", today).reserved_usd == Decimal("0.50")
    assert budgets.reservations.read("provider:p", today).reserved_usd == Decimal("0.50")
    budgets.before(other)
    failed.append(call(asked, "0.21", call_id="b", status="error", error_message="HTTP 500"))
    with pytest.raises(BudgetExceeded, match=r"with another attempt; .*HTTP 500"):
        budgets.before_retry(asked, failed)
    assert budgets.reservations.read("day", today).reserved_usd == Decimal("0.80")
    budgets.ended(asked, failed)
    assert budgets.reservations.read("day", today).spent_usd == Decimal("0.41")


def test_free_models_pass_a_budget_that_is_used_up_and_unknown_prices_do_not(
    tmp_path: Path,
) -> None:
    used_up = make_budgets(tmp_path, DAY, worst="0", spent=lambda *_: Decimal(2))
    used_up.before(request())
    unknown = make_budgets(
        tmp_path, DAY, worst=None, allows_unpriced=True, spent=lambda *_: Decimal(2)
    )
    with pytest.raises(BudgetExceeded, match="would be exceeded"):
        unknown.before(request())


def test_a_request_without_a_known_price_is_refused_under_a_budget_unless_allowed(
    tmp_path: Path,
) -> None:
    budgets = make_budgets(tmp_path, DAY, worst=None)
    with pytest.raises(
        BudgetExceeded, match=r"cannot be kept with p/m: no price is known"
    ) as caught:
        budgets.before(request())
    error = caught.value
    assert (error.cap, error.cap_usd, error.unpriced) == ("day", Decimal("1.00"), ("price",))
    assert error.retry_after is None and not error.waits_for_others
    assert "toolkit models override p/m" in str(error) and "budget_unpriced" in str(error)
    assert error.as_dict()["unpriced"] == ["price"]

    allowed = make_budgets(tmp_path, DAY, worst=None, allows_unpriced=True)
    allowed.before(request())
    own = Cap(kind="run", name="r", limit_usd=Decimal(1), period="ever", allows_unpriced=True)
    make_budgets(tmp_path, own, worst=None).before(request(origin="eval", origin_id="r"))


def test_processes_and_restarts_share_reservations_and_charges(tmp_path: Path) -> None:
    one, other = make_budgets(tmp_path, DAY), make_budgets(tmp_path, DAY)
    first, second, third = request(), request(), request()
    one.before(first)
    other.before(second)
    one.before(third)
    with pytest.raises(BudgetExceeded):
        other.before(request())
    one.ended(first, [call(first, "0.25")])
    after_restart = make_budgets(tmp_path, DAY)
    state = after_restart.reservations.read("day", DAY.period_at(datetime.now(UTC)))
    assert (state.spent_usd, state.requests) == (Decimal("0.25"), 2)


def test_calls_in_the_database_are_counted_once_beside_charges(tmp_path: Path) -> None:
    """The database is read up to the oldest request in progress; later calls are charges."""
    recorded: list[Call] = []

    def read(cap: Cap, since: datetime | None, until: datetime) -> Decimal:
        costs = [c.cost_usd for c in recorded if c.started_at < until and c.cost_usd is not None]
        return sum(costs, Decimal(0))

    budgets = make_budgets(tmp_path, Cap(kind="day", limit_usd=Decimal(100)), spent=read)
    running = request()
    budgets.before(running)
    for _ in range(5):
        asked = request()
        budgets.before(asked)
        done = call(asked, "1")
        recorded.append(done)  # a row is written before its request is settled
        budgets.ended(asked, [done])
        budgets._read_at.clear()  # as if half a minute had passed
        budgets.refresh()
        state = budgets.reservations.read("day", DAY.period_at(datetime.now(UTC)))
        assert state.spent_usd == len(recorded)
    budgets.ended(running, [])
    budgets._read_at.clear()
    budgets.refresh()
    assert budgets.status()[0].state.spent_usd == 5


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 100), st.integers(0, 100)),
                max_size=40))  # fmt: skip
def test_a_budget_is_never_exceeded_whatever_the_order_of_calls(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, int]]
) -> None:
    """Calls overlap; none costs more than was reserved for it."""
    cap = Cap(kind="day", limit_usd=Decimal(300))
    budgets = make_budgets(tmp_path_factory.mktemp("budget"), cap)
    worth: dict[str, Decimal] = {}
    budgets.worst_case = lambda model, asked: Worst(
        usd=worth[asked.request_id], output_tokens=1, has_limit=True
    )
    running: dict[int, ChatRequest] = {}
    spent = Decimal(0)
    for slot, most, share in steps:
        if slot in running:
            asked = running.pop(slot)
            usd = worth[asked.request_id] * share / 100
            spent += usd
            budgets.ended(asked, [call(asked, str(usd))])
        else:
            asked = request()
            worth[asked.request_id] = Decimal(most)
            try:
                budgets.before(asked)
            except BudgetExceeded:
                continue
            running[slot] = asked
        assert spent + sum((worth[a.request_id] for a in running.values()), Decimal(0)) <= 300
    budgets.reservations.close()


def _reserve_until_refused(path: Path, cost: Decimal, barrier: object, results: object) -> None:
    reservations = Reservations(path)
    barrier.wait()  # type: ignore[attr-defined]
    accepted = 0
    for number in range(60):
        hold = Hold(cap="day", period="today", limit_usd=Decimal(1), amount_usd=cost)
        name = f"{os.getpid()}-{number}"
        if reservations.reserve(name, [hold]) is None:
            accepted += 1
            charge = Charged(
                cap="day", period="today", call_id=name, started_at=datetime.now(UTC),
                amount_usd=cost,
            )  # fmt: skip
            reservations.settle(name, ["day"], [charge])
    results.put(accepted)  # type: ignore[attr-defined]


def test_four_processes_at_once_never_exceed_a_budget_together(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(4), context.Queue()
    cost = Decimal("0.0077")
    path = tmp_path / "budgets.sqlite"
    workers = [
        context.Process(target=_reserve_until_refused, args=(path, cost, barrier, results))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    accepted = sum(results.get(timeout=170) for _ in workers)
    for worker in workers:
        worker.join()
    assert accepted == 129  # 129 x 0.0077 = 0.9933
    assert Reservations(path).read("day", "today").spent_usd == 129 * cost


@pytest.fixture
def dear(home: Path) -> Iterator[tuple[Toolkit, MockProvider]]:
    """A provider whose answers of 1,000 tokens cost $0.10 each, and a budget of $1 a day."""
    answer = Answer(text="word " * 1000, usage={"prompt_tokens": 10, "completion_tokens": 1000})
    with MockProvider(answer) as server:
        toolkit = Toolkit(settings=Settings(home=home, daily_budget_usd=1.0))
        toolkit.providers.registry.add(
            "dear", base_url=server.base_url, is_local=True, needs_key=False
        )
        price = {"price:input": "10", "price:output": "100"}
        toolkit.store.append("models", {"provider": "dear", "model_id": "m", "model": "dear/m",
                                        "is_enabled": True, "max_output_tokens": 2000,
                                        "facts": {"claims": {}}})  # fmt: skip
        toolkit.catalog.override("dear/m", price)
        yield toolkit, server
        toolkit.close()


def spent_by(toolkit: Toolkit) -> Decimal:
    return Decimal(str(toolkit.store.rows("SELECT sum(cost_usd) AS usd FROM calls")[0]["usd"] or 0))


@pytest.mark.parametrize(
    "limits",
    [
        {"max_tokens": 9000, "max_completion_tokens": 1},
        {"max_tokens": 1, "max_completion_tokens": 1200},
        {"max_tokens": 1, "extra_body": {"max_output_tokens": 5000}},
        {"max_tokens": 1000},
        {"max_tokens": 300, "n": 4},
        {},
    ],
)
def test_two_hundred_parallel_requests_never_exceed_a_budget_of_one_dollar(
    dear: tuple[Toolkit, MockProvider], limits: dict[str, object]
) -> None:
    toolkit, server = dear

    async def attack() -> list[object]:
        requests = [build_request("dear/m", "hello", dict(limits)) for _ in range(200)]
        calls = [toolkit.client.complete(asked) for asked in requests]
        return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = toolkit.portal.run(attack())
    refused = [o for o in outcomes if isinstance(o, BudgetExceeded)]
    unexpected = [
        o for o in outcomes if isinstance(o, Exception) and not isinstance(o, BudgetExceeded)
    ]
    assert not unexpected
    answered = 200 - len(refused)
    assert answered == len(server.requests)
    assert Decimal("0.10") * answered <= 1
    assert spent_by(toolkit) <= 1


def attack(toolkit: Toolkit, model: str, requests: int = 200, **options: object) -> list[object]:
    """Send requests at once; return replies and errors."""

    async def run() -> list[object]:
        asked = [build_request(model, "hello", dict(options)) for _ in range(requests)]
        calls = [toolkit.client.complete(one) for one in asked]
        return await asyncio.gather(*calls, return_exceptions=True)

    return toolkit.portal.run(run())


def add_cheap(toolkit: Toolkit, server: MockProvider) -> None:
    """A provider of little cost whose answers fail, ahead of the dear one in the chain `best`."""
    toolkit.providers.registry.add(
        "cheap", base_url=server.base_url, is_local=True, needs_key=False, max_retries=0
    )
    toolkit.store.append("models", {"provider": "cheap", "model_id": "m", "model": "cheap/m",
                                    "is_enabled": True, "max_output_tokens": 2000,
                                    "facts": {"claims": {}}})  # fmt: skip
    toolkit.catalog.override("cheap/m", {"price:input": "0.01", "price:output": "0.1"})
    toolkit.providers.registry.set_alias("best", ["cheap/m", "dear/m"])


@pytest.mark.parametrize(
    ("model", "options"),
    [("best", {}), ("cheap/m", {"fallbacks": ["dear/m"]})],
    ids=["named_chain", "fallbacks"],
)
def test_a_chain_attacked_in_parallel_never_exceeds_a_budget_of_one_dollar(
    dear: tuple[Toolkit, MockProvider], model: str, options: dict[str, object]
) -> None:
    toolkit, server = dear
    with MockProvider(Answer(text="out of order", status=500)) as failing:
        add_cheap(toolkit, failing)
        outcomes = attack(toolkit, model, max_tokens=1, max_completion_tokens=1000, **options)
    answered = [one for one in outcomes if isinstance(one, Reply)]
    assert 1 <= len(answered) == len(server.requests)
    assert len(failing.requests) < 10  # what could not be paid at the dear model was not sent
    assert {one.model for one in answered} == {"dear/m"}
    assert spent_by(toolkit) <= 1


def test_retries_of_answers_that_failed_and_are_billed_never_exceed_a_budget(
    dear: tuple[Toolkit, MockProvider],
) -> None:
    toolkit, server = dear
    server.default = Answer(
        text="word " * 1000,
        usage={"prompt_tokens": 10, "completion_tokens": 1000},
        finish_reason="network_error",
    )
    outcomes = attack(
        toolkit, "dear/m", requests=20, max_tokens=1000, max_retries=9, retry_initial_s=0.001
    )
    assert all(isinstance(one, tk.errors.CallError) for one in outcomes)
    assert 2 <= len(server.requests) <= 9
    assert spent_by(toolkit) == Decimal("0.1001") * len(server.requests)
    stopped = [one for one in outcomes if isinstance(one, BudgetExceeded) and one.attempts]
    assert "the last one failed" in stopped[0].message
    assert toolkit.budgets.status()[0].state.requests == 0


def test_a_request_that_is_given_up_counts_what_was_probably_billed(
    dear: tuple[Toolkit, MockProvider],
) -> None:
    toolkit, server = dear
    server.default = Answer(text="word", first_delay_s=30)

    async def give_up() -> None:
        asked = build_request("dear/m", "hello " * 1000, {"max_tokens": 1000})
        call = asyncio.ensure_future(toolkit.client.complete(asked))
        while not server.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    toolkit.portal.run(give_up())
    (state,) = toolkit.budgets.status()
    assert state.state.requests == 0
    assert state.state.spent_usd > Decimal("0.001")


def test_a_price_of_the_users_own_holds_for_a_local_provider_and_counts_after_a_restart(
    dear: tuple[Toolkit, MockProvider],
) -> None:
    toolkit, _ = dear
    reply = toolkit.complete("dear/m", "hello", max_tokens=1000)
    assert reply.receipt.price_source == "override"
    assert reply.cost_usd == Decimal("0.1001")
    again = Toolkit(settings=Settings(home=toolkit.settings.home, daily_budget_usd=0.1))
    with pytest.raises(BudgetExceeded, match=r"0\.1001"):
        again.complete("dear/m", "hello", max_tokens=10)
    again.close()


def test_a_stream_that_ignores_its_limit_is_cut(home: Path) -> None:
    answer = Answer(text="word " * 5000)
    with MockProvider(answer) as server:
        toolkit = Toolkit(settings=Settings(home=home, daily_budget_usd=1.0))
        toolkit.providers.registry.add(
            "dear", base_url=server.base_url, is_local=True, needs_key=False
        )
        toolkit.store.append("models", {"provider": "dear", "model_id": "m", "model": "dear/m",
                                        "is_enabled": True, "facts": {"claims": {}}})  # fmt: skip
        toolkit.catalog.override("dear/m", {"price:input": "1", "price:output": "10"})
        pieces = []
        with (
            pytest.raises(BudgetExceeded, match="longer than its limit allows") as caught,
            toolkit.stream("dear/m", "hello", max_tokens=50) as stream,
        ):
            for piece in stream:
                pieces.append(piece)
        assert caught.value.partial_text.startswith("word word")
        assert len("".join(pieces)) < 5000
        (row,) = toolkit.store.rows("SELECT status FROM calls")
        assert row["status"] == "cancelled"
        (state,) = toolkit.budgets.status()
        assert state.state.requests == 0
        toolkit.close()


def test_budgets_of_the_settings_are_checked() -> None:
    caps = parse_caps({"day": 5, "provider:openai": "2.50", "model:p/m": 1, "tag:team=red": 3})
    assert [cap.key for cap in caps] == ["day", "provider:openai", "model:p/m", "tag:team=red"]
    for wrong in ({"week": 1}, {"provider:": 1}, {"day": -1}, {"day": "much"}, {"day": "NaN"}):
        with pytest.raises(InvalidInput):
            parse_caps(wrong)


def test_the_error_is_complete_for_programs(tmp_path: Path) -> None:
    budgets = make_budgets(tmp_path, Cap(kind="day", limit_usd=Decimal("0.1")))
    with pytest.raises(tk.errors.BudgetExceeded) as caught:
        budgets.before(request())
    body = caught.value.as_dict()
    assert body["cap"] == "day"
    assert body["cap_usd"] == "0.1"
    assert body["free_at"]
