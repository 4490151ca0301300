"""Budgets: caps on spending that hold with requests in progress, in all processes, over restarts.

Before a request is sent, the most that it may cost is reserved under every cap that applies to
it; when it is over, the reservation is replaced by what it did cost. Reservations live in a file
that all processes of a home folder share. What was spent before is read from the calls.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

from toolkit.errors import BudgetExceeded, InvalidInput, RequestTimeout
from toolkit.records import Call, ChatRequest
from toolkit.store.reservations import CapState, Charged, Hold, Reservations

CapKind = Literal["day", "provider", "model", "tag", "token", "run", "health"]
Period = Literal["day", "ever"]

_READ_EVERY_S: Final = 30.0
_FIRST_ERROR_STATUS: Final = 400
# A provider that keeps to its limit can send long tokens (white space, repeated signs); only
# text that no such answer can have is taken as proof that the limit is not kept.
_LONGEST_TOKEN_BYTES: Final = 8
_USUAL_TOKEN_BYTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """A cap on spending.

    Attributes:
        kind: what it is for; `day` is everything.
        name: of the provider, model (`provider/model_id`), tag (`key=value`), token or run.
        limit_usd: the most that may be spent in one period.
        period: `day` (UTC) or `ever`.
        allows_unpriced: whether requests without a known price may pass it.
    """

    kind: CapKind
    name: str = ""
    limit_usd: Decimal
    period: Period = "day"
    allows_unpriced: bool = False

    @property
    def key(self) -> str:
        """Its key in the file of reservations."""
        return f"{self.kind}:{self.name}" if self.name else self.kind

    @property
    def title(self) -> str:
        """What errors and tables call it."""
        day = "daily " if self.period == "day" else ""
        return f"the {day}budget" if self.kind == "day" else f"the {day}budget of {self.subject}"

    @property
    def subject(self) -> str:
        """What it applies to."""
        return {"day": "all calls", "health": "probes and tests"}.get(
            self.kind, f"{self.kind} {self.name!r}"
        )

    def applies(self, model: str, about: ChatRequest | Call) -> bool:
        """Whether a request or call counts against it when `model` answers."""
        if self.kind == "provider":
            return model.partition("/")[0] == self.name
        if self.kind == "model":
            return model == self.name
        if self.kind == "tag":
            key, _, value = self.name.partition("=")
            return about.tags.get(key) == value
        if self.kind == "token":
            return about.origin == "gateway" and about.tags.get("token") == self.name
        if self.kind == "run":
            return about.origin_id == self.name
        return self.kind == "day" or about.origin == "health"

    def period_at(self, moment: datetime) -> str:
        """The name of its period at a moment; later periods sort behind earlier ones."""
        return moment.date().isoformat() if self.period == "day" else "ever"

    def since(self, moment: datetime) -> datetime | None:
        """First moment of its period; None: it has no beginning."""
        return _midnight(moment) if self.period == "day" else None

    def free_at(self, moment: datetime) -> datetime | None:
        """When what was spent no longer counts; None: never."""
        return _midnight(moment) + timedelta(days=1) if self.period == "day" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CapStatus:
    """A cap and what counts against it now."""

    cap: Cap
    state: CapState
    free_at: datetime | None

    @property
    def left_usd(self) -> Decimal:
        """What may still be reserved, USD."""
        used = self.state.spent_usd + self.state.reserved_usd
        return max(self.cap.limit_usd - used, Decimal(0))


@dataclass(slots=True)
class _Running:
    """A request in progress: its caps with what is held, and what a stream of it may hold."""

    caps: tuple[tuple[Cap, Hold], ...]
    most_usd: Decimal
    most_output_tokens: int
    has_limit: bool
    bytes_seen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """The most that one request may cost at one model.

    Attributes:
        usd: USD, as far as prices are known.
        output_tokens: the longest answer that this covers.
        has_limit: whether the request itself limits the answer.
        unpriced: what the request may use there that has no price; `price`: all of it.
    """

    usd: Decimal
    output_tokens: int
    has_limit: bool
    unpriced: tuple[str, ...] = ()


WorstCase = Callable[[str, ChatRequest], Worst]
"""(`provider/model_id`, request) -> the most that it may cost there."""

ReadSpent = Callable[[Cap, datetime | None, datetime], Decimal]
"""(cap, from, before) -> what recorded live calls of that span have cost."""

AssumeCost = Callable[[ChatRequest, Call], Decimal]
"""What an attempt has probably cost whose usage the provider did not report."""


@dataclass
class Budgets:
    """A processor that keeps every request within the caps that apply to it.

    Attributes:
        reservations: the file that all processes share.
        worst_case: the most that a request may cost.
        read_spent: what recorded calls have cost.
        assume_cost: for an attempt that was answered and has no cost.
        allows_unpriced: whether requests without a known price may pass all budgets.
    """

    reservations: Reservations
    worst_case: WorstCase
    read_spent: ReadSpent
    assume_cost: AssumeCost = lambda request, call: Decimal(0)
    allows_unpriced: bool = False
    _caps: dict[str, Cap] = field(default_factory=dict)
    _running: dict[str, _Running] = field(default_factory=dict)
    _read_at: dict[tuple[str, str], float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def set(self, cap: Cap) -> None:
        """Add a cap, or change its limit."""
        self._caps[cap.key] = cap

    def remove(self, cap_key: str) -> None:
        """Remove a cap; requests in progress stay reserved in the file until they are over."""
        self._caps.pop(cap_key, None)

    def find(self, cap_key: str) -> Cap | None:
        """Return a cap by its key, or None."""
        return self._caps.get(cap_key)

    def status(self) -> list[CapStatus]:
        """Return every cap with what counts against it now. Reads the database of calls.

        Raises:
            StoreError: it cannot be read.
        """
        self.refresh(max_age_s=0.0)
        now = datetime.now(UTC)
        return [
            CapStatus(
                cap=cap,
                state=self.reservations.read(cap.key, cap.period_at(now)),
                free_at=cap.free_at(now),
            )
            for cap in self._caps.values()
        ]

    def refresh(
        self, caps: Iterable[Cap] | None = None, *, max_age_s: float = _READ_EVERY_S
    ) -> None:
        """Count calls in the database that no process of these caps has charged.

        Cheap where it was done within `max_age_s`; otherwise it reads the database, so call
        it in a thread.

        Raises:
            StoreError: it cannot be read.
        """
        now = datetime.now(UTC)
        for cap in list(self._caps.values() if caps is None else caps):
            period = cap.period_at(now)
            read_at = self._read_at.get((cap.key, period))
            if read_at is not None and time.monotonic() - read_at < max_age_s:
                continue
            until = self.reservations.next_base(cap.key, period)
            spent = self.read_spent(cap, cap.since(now), until)
            self.reservations.set_base(cap.key, period, spent, until)
            if read_at is None:
                self.reservations.forget_before({cap.key: period})
                # A clock that is set back returns to a period of which the file has nothing now.
                for read in [read for read in self._read_at if read[0] == cap.key]:
                    del self._read_at[read]
            self._read_at[cap.key, period] = time.monotonic()

    def require_left(self, cap: Cap) -> None:
        """Check that a cap is not used up. Reads the database of calls, so call it in a thread.

        Raises:
            BudgetExceeded: all of it is spent.
            StoreError: what was spent cannot be read.
        """
        self.refresh([cap], max_age_s=0.0)
        state = self.reservations.read(cap.key, cap.period_at(datetime.now(UTC)))
        if state.spent_usd >= cap.limit_usd:
            raise _error(
                f"{cap.title} is used up: {_usd(state.spent_usd)} of {_usd(cap.limit_usd)} spent",
                cap,
                state,
                Decimal(0),
                None,
            )

    def before(self, request: ChatRequest) -> ChatRequest:
        """Reserve the most that a request may cost.

        Free models are never refused. A request that may use something without a known price
        is, unless that is allowed: it then reserves what has a price, and what the provider
        reports counts afterwards.

        Raises:
            BudgetExceeded: a cap has too little left, or no price is known; nothing was sent.
            StoreError: the budget file cannot be used; nothing was sent.
        """
        if not self._caps:
            return request
        chain = (request.model, *request.fallbacks)
        caps = [c for c in self._caps.values() if any(c.applies(m, request) for m in chain)]
        if not caps:
            return request
        self.refresh(caps)
        now = datetime.now(UTC)
        worst = {model: self.worst_case(model, request) for model in chain}
        if not any(w.usd or w.unpriced for w in worst.values()):
            return request  # free, so it may go on when nothing is left
        holds = []
        for cap in caps:
            applied = {m: w for m, w in worst.items() if cap.applies(m, request)}
            hold = Hold(
                cap=cap.key,
                period=cap.period_at(now),
                limit_usd=cap.limit_usd,
                amount_usd=max(w.usd for w in applied.values()),
            )
            for model, its_worst in applied.items():
                if its_worst.unpriced and not (self.allows_unpriced or cap.allows_unpriced):
                    state = self.reservations.read(cap.key, hold.period)
                    raise _unpriced(cap, state, model, its_worst, request)
            holds.append(hold)
        refused = self.reservations.reserve(request.request_id, holds)
        if refused is not None:
            hold, state = refused
            raise _exceeded(self._caps[hold.cap], state, hold.amount_usd, request)
        running = _Running(
            caps=tuple(zip(caps, holds, strict=True)),
            most_usd=max(w.usd for w in worst.values()),
            most_output_tokens=max(w.output_tokens for w in worst.values()),
            has_limit=all(w.has_limit for w in worst.values()),
        )
        with self._lock:
            self._running[request.request_id] = running
        return request

    def before_retry(self, request: ChatRequest, attempts: Sequence[Call]) -> None:
        """Reserve another attempt beside what the failed ones have cost.

        Raises:
            BudgetExceeded: a cap has too little left for it.
            StoreError: the budget file cannot be used.
        """
        running = self._running.get(request.request_id)
        if running is None:
            return
        billed = [(call, self._cost_of(request, call)) for call in attempts]
        if not any(usd for _, usd in billed):
            return
        holds = [
            replace(
                hold,
                amount_usd=hold.amount_usd
                + sum((usd for call, usd in billed if cap.applies(call.model, call)), Decimal(0)),
            )
            for cap, hold in running.caps
        ]
        refused = self.reservations.reserve(request.request_id, holds)
        if refused is not None:
            hold, state = refused
            cap = next(cap for cap, held in running.caps if held.cap == hold.cap)
            raise _exceeded(cap, state, hold.amount_usd, request, attempts)

    def on_text(self, request: ChatRequest, text: str) -> None:
        """Count a piece of a streamed answer.

        Raises:
            BudgetExceeded: the answer is longer than what was reserved; the stream is cut.
        """
        running = self._running.get(request.request_id)
        if running is None or running.most_output_tokens == 0:
            return
        running.bytes_seen += len(text.encode("utf-8", "surrogatepass"))
        size = _LONGEST_TOKEN_BYTES if running.has_limit else _USUAL_TOKEN_BYTES
        if running.bytes_seen > running.most_output_tokens * size:
            cap, hold = running.caps[0]
            state = self.reservations.read(cap.key, hold.period)
            raise _cut(cap, state, running.most_usd, request)

    def ended(self, request: ChatRequest, attempts: Sequence[Call]) -> None:
        """Replace the reservation by what the request did cost, failed attempts included."""
        with self._lock:
            running = self._running.pop(request.request_id, None)
        if running is None:
            return
        charges = [
            Charged(
                cap=cap.key,
                period=hold.period,
                call_id=call.call_id,
                started_at=call.started_at,
                amount_usd=usd,
                is_assumed=call.cost_usd is None,
            )
            for call in attempts
            if (usd := self._cost_of(request, call)) > 0
            for cap, hold in running.caps
            if cap.applies(call.model, call)
        ]
        self.reservations.settle(request.request_id, [cap.key for cap, _ in running.caps], charges)

    def _cost_of(self, request: ChatRequest, call: Call) -> Decimal:
        if call.source != "live":
            return Decimal(0)
        if call.cost_usd is not None:
            return call.cost_usd
        answered = call.http_status is not None and call.http_status < _FIRST_ERROR_STATUS
        may_be_billed = call.status == "cancelled" or call.error_code == RequestTimeout.code
        if not answered and not may_be_billed:
            return Decimal(0)  # refused, or never sent: nothing is billed
        return self.assume_cost(request, call)


def parse_caps(limits: Mapping[str, float | str | Decimal]) -> list[Cap]:
    """Return the caps of the setting `budgets`.

    Args:
        limits: USD per UTC day, by `day`, `provider:NAME`, `model:PROVIDER/MODEL` or
            `tag:KEY=VALUE`.

    Raises:
        InvalidInput: unknown cap, or the limit is not an amount.
    """
    caps = []
    for key, limit in limits.items():
        kind, _, name = key.partition(":")
        is_named = kind in ("provider", "model", "tag") and name != ""
        if not (is_named or key == "day"):
            raise InvalidInput(
                f"{key!r} is not a budget",
                hint="Use day, provider:NAME, model:PROVIDER/MODEL or tag:KEY=VALUE.",
            )
        try:
            usd = Decimal(str(limit))
        except ArithmeticError:
            usd = Decimal("NaN")
        if not usd.is_finite() or usd < 0:
            raise InvalidInput(f"the budget {key} is {limit!r}; it must be USD, 0 or more")
        caps.append(Cap(kind=kind, name=name, limit_usd=usd))  # type: ignore[arg-type]
    return caps


def _usd(amount: Decimal) -> str:
    text = f"{amount:f}"
    return f"${text.rstrip('0').rstrip('.') if '.' in text else text}"


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _exceeded(
    cap: Cap,
    state: CapState,
    needed_usd: Decimal,
    request: ChatRequest,
    attempts: Sequence[Call] = (),
) -> BudgetExceeded:
    held = f", {_usd(state.reserved_usd)} reserved by {state.requests} in progress"
    failed = ""
    if attempts:
        why = attempts[-1].error_message or attempts[-1].error_code
        failed = f" with another attempt; the last one failed: {why}"
    return _error(
        f"{cap.title} of {_usd(cap.limit_usd)} would be exceeded: {_usd(state.spent_usd)} spent"
        f"{held if state.requests else ''}, and this request may cost up to {_usd(needed_usd)}"
        f"{failed}",
        cap,
        state,
        needed_usd,
        request,
    )


def _unpriced(
    cap: Cap, state: CapState, model: str, worst: Worst, request: ChatRequest
) -> BudgetExceeded:
    missing = "it" if worst.unpriced == ("price",) else ", ".join(worst.unpriced) + " of it"
    error = _error(
        f"{cap.title} of {_usd(cap.limit_usd)} cannot be kept with {model}: no price is known for "
        f"{missing}; nothing was sent ({_usd(state.spent_usd)} spent, "
        f"{_usd(state.reserved_usd)} reserved)",
        cap,
        state,
        worst.usd,
        request,
    )
    error.unpriced, error.retry_after = worst.unpriced, None
    error.hint = (
        f"Set its price with `toolkit models override {model} input=USD output=USD` (per million "
        "tokens; the catalog must have the model), or decide with the setting `budget_unpriced` "
        'what budgets do without a price: `"allow"`, or an amount in USD per million tokens that '
        "is assumed."
    )
    return error


def _cut(cap: Cap, state: CapState, needed_usd: Decimal, request: ChatRequest) -> BudgetExceeded:
    return _error(
        f"the answer is longer than its limit allows and was cut: {_usd(needed_usd)} was reserved "
        f"for it under {cap.title} of {_usd(cap.limit_usd)}",
        cap,
        state,
        needed_usd,
        request,
    )


def _error(
    message: str, cap: Cap, state: CapState, needed_usd: Decimal, request: ChatRequest | None
) -> BudgetExceeded:
    now = datetime.now(UTC)
    free_at = cap.free_at(now)
    resets = f" The budget resets at {free_at:%H:%M} UTC." if free_at else ""
    raising = "raise `probe_budget_usd`" if cap.kind == "health" else "raise the budget"
    error = BudgetExceeded(
        message,
        model=request.model if request else None,
        request_id=request.request_id if request else None,
        retry_after=(free_at - now).total_seconds() if free_at else None,
        hint=f"Lower `max_tokens` or {raising}.{resets}",
    )
    error.cap, error.cap_usd, error.free_at = cap.key, cap.limit_usd, free_at
    error.spent_usd, error.reserved_usd = state.spent_usd, state.reserved_usd
    error.needed_usd = needed_usd
    return error
