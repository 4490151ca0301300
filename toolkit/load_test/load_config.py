"""The configuration of a load test: steps, prompts, objectives and bounds, checked before a call.

Every bound has a default, so that a typing mistake cannot send a million requests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from toolkit.errors import InvalidInput
from toolkit.load_test.prompts import (
    DatasetPrompts,
    Prompt,
    PromptSource,
    SyntheticPrompts,
    require_lengths,
)
from toolkit.load_test.send_schedule import Arrival, Schedule, make_schedule, read_trace

if TYPE_CHECKING:
    from toolkit.evals.config import DatasetLike
    from toolkit.evals.dataset import Dataset
    from toolkit.providers.provider import Provider
    from toolkit.settings import Settings

Loop = Literal["open", "closed"]
Objectives = Mapping[str, float]
"""The longest time of each objective, milliseconds, by `ttft`, `tpot` or `e2e`."""

OBJECTIVES: Final = ("ttft", "tpot", "e2e")
SWEEP: Final = (1, 2, 4, 8, 16, 32, 64)
MAX_RATE_LOCAL: Final = 100.0
MAX_RATE_CLOUD: Final = 10.0
MAX_REQUESTS: Final = 1_000
MAX_SECONDS: Final = 600.0
MOST_CONCURRENT: Final = 1_000
_REQUESTS: Final = 50
_REQUESTS_PER_WORKER: Final = 4
_WARMUP: Final = 3


class LoadTestOptions(TypedDict, total=False):
    """The options of a load test.

    Attributes:
        concurrency: closed loop: so many requests are always in flight; several values are steps.
            Default: 1, unless `rate` or `trace` is given.
        rate: open loop: so many requests per second on average; several values are steps.
        arrival: how requests of a rate are spread: `poisson` (default) or `constant`.
        trace: open loop: a file with the moment of each request; see `send_schedule.read_trace`.
        trace_speed: 2 replays the trace twice as fast.
        sweep: closed loop with 1, 2, 4, ... 64 in flight, until the server is saturated.
        until_saturated: leave out the steps behind the first one that is saturated.
        requests: measured requests of each step; default: 50, or 4 for each that is in flight.
        seconds: send for about so long in each step, instead of a number of requests.
        warmup: requests of each step that are sent first and not measured; default: as many as
            are in flight in a closed loop, 3 in an open one, and one before a trace that is
            not part of it. The first one is sent alone.
        repeats: run all steps so many times; two or more give confidence intervals.
        max_concurrency: open loop: at most so many in flight; later ones wait, and the wait
            counts in their latency. Default: 1,000.
        dataset: prompts from a `Dataset`, a file, or whatever `toolkit.evaluate` takes.
        input_tokens: length of synthetic prompts, where no dataset is given; default 128.
        prefix_tokens: tokens at the beginning of every synthetic prompt that all have in common.
        output_tokens: longest answer that is asked for (`max_tokens`); default 64.
        system: system prompt in front of the samples of a dataset.
        params: further parameters of the model, such as `temperature`.
        stream: stream the answers (default); without, there are no TTFT, TPOT and ITL.
        objectives: goodput counts answers within these, milliseconds, for example
            `{"ttft": 500, "e2e": 2000}`; `tpot` as well.
        seed: of schedule and synthetic prompts.
        retries: tries after the first one; default 0, so that every failure is seen.
        timeout_s: deadline of each request, seconds.
        max_requests: the most requests of the whole run; default 1,000.
        max_seconds: the longest that the run may take; default 600.
        max_rate: the most requests per second; default 100, and 10 for a cloud provider.
        max_usd: the most that the run may cost, USD. A cloud provider needs it.
        max_consecutive_errors: end the run after so many failures in a row; default 20.
        allow_unpriced: call a cloud model whose price is not known, where `max_usd` cannot hold.
        name: of the run, for people.
        tags: labels of the run and of its calls.
    """

    concurrency: int | Sequence[int]
    rate: float | Sequence[float]
    arrival: Literal["poisson", "constant"]
    trace: str | Path
    trace_speed: float
    sweep: bool
    until_saturated: bool
    requests: int
    seconds: float
    warmup: int
    repeats: int
    max_concurrency: int
    dataset: DatasetLike
    input_tokens: int
    prefix_tokens: int
    output_tokens: int
    system: str
    params: Mapping[str, Any]
    stream: bool
    objectives: Objectives
    seed: int
    retries: int
    timeout_s: float
    max_requests: int
    max_seconds: float
    max_rate: float
    max_usd: float | str | Decimal
    max_consecutive_errors: int
    allow_unpriced: bool
    name: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadStep:
    """One level of load.

    Attributes:
        number: from 1.
        loop: `closed` or `open`.
        target: requests in flight of a closed loop, requests per second of an open one.
        warmup: requests that are sent first and not measured.
        requests: measured requests; None: as many as there is time for.
        seconds: how long a closed loop sends, warm-up not counted; None: until all are sent.
        extra: 1 where a warm-up request that is not part of the schedule is sent before it.
    """

    number: int
    loop: Loop
    target: float
    warmup: int
    requests: int | None = None
    seconds: float | None = None
    extra: int = 0

    @property
    def label(self) -> str:
        """What tables call the step."""
        return f"{self.target:g} in flight" if self.loop == "closed" else f"{self.target:.4g}/s"

    @property
    def total(self) -> int | None:
        """All requests of the step; None where only time bounds them."""
        return None if self.requests is None else self.extra + self.warmup + self.requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a run may not exceed; `max_usd` None: no bound, for providers on this machine."""

    max_requests: int
    max_seconds: float
    max_rate: float
    max_usd: Decimal | None
    max_consecutive_errors: int
    max_concurrency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTestConfig:
    """A configured load test.

    Attributes:
        model: `provider/model_id`.
        name: of the run.
        steps: the levels of load, in order.
        arrival: how the requests of open loops are spread.
        trace: the schedule of a trace.
        prompts: where the prompts come from.
        bounds: what the run may not exceed.
        own_limit: requests per second that the provider's `rpm` setting lets through.
        values: all of it as plain values, stored with the run.
    """

    model: str
    name: str
    steps: tuple[LoadStep, ...]
    arrival: Arrival
    trace: Schedule | None
    prompts: PromptSource
    bounds: Bounds
    own_limit: float | None
    values: Mapping[str, Any]

    @property
    def repeats(self) -> int:
        """How many times all steps are run."""
        return int(self.values["repeats"])

    @property
    def objectives(self) -> Objectives:
        """The objectives of the goodput."""
        found: Objectives = self.values["objectives"]
        return found

    @property
    def planned(self) -> int | None:
        """All requests of the run; None where only time bounds them."""
        totals = [step.total for step in self.steps]
        known = [total for total in totals if total is not None]
        if len(known) < len(totals):
            return None
        extra = sum(step.extra for step in self.steps)  # sent once, not in every repeat
        return (sum(known) - extra) * self.repeats + extra

    def as_stored(self) -> dict[str, Any]:
        """All that is stored with the run: what a reader needs, and what `read_stored` needs."""
        return {
            **self.values,
            "model": self.model,
            "name": self.name,
            "arrival": self.arrival,
            "steps": [asdict(step) for step in self.steps],
            "prompts": self.prompts.basis,
            "is_approximate": self.prompts.is_approximate,
            "own_limit": self.own_limit,
        }

    def schedule(self, step: LoadStep, repeat: int) -> Schedule:
        """The schedule of an open step, warm-up included; the same for the same seed."""
        if self.trace is not None:
            return self.trace
        count = step.total
        assert count is not None  # open loops have a schedule, and so a number of requests
        seed = f"{self.values['seed']}:{step.number}:{repeat}"
        return make_schedule(self.arrival, step.target, count, seed)


@dataclass(frozen=True, slots=True)
class _StoredPrompts:
    """The prompts of a run that is read again: only how they were made is known."""

    basis: str
    is_approximate: bool

    def prompt(self, index: int, lengths: tuple[int | None, int | None] = (None, None)) -> Prompt:
        raise NotImplementedError("a stored run cannot be sent again")


def read_stored(values: Mapping[str, Any]) -> LoadTestConfig:
    """The configuration of a stored run, to compute its figures again."""
    usd = values["max_usd"]
    return LoadTestConfig(
        model=values["model"],
        name=values["name"],
        steps=tuple(LoadStep(**step) for step in values["steps"]),
        arrival=values["arrival"],
        trace=None,
        prompts=_StoredPrompts(values["prompts"], values["is_approximate"]),
        bounds=Bounds(
            max_requests=values["max_requests"],
            max_seconds=values["max_seconds"],
            max_rate=values["max_rate"],
            max_usd=None if usd is None else Decimal(usd),
            max_consecutive_errors=values["max_consecutive_errors"],
            max_concurrency=values["max_concurrency"],
        ),
        own_limit=values["own_limit"],
        values=values,
    )


def read_objective(text: str) -> tuple[str, float]:
    """An objective as the command line has it, such as `ttft:500`.

    Raises:
        InvalidInput: it is not NAME:MILLISECONDS.
    """
    name, _, limit = text.partition(":")
    try:
        return name.strip().lower(), float(limit)
    except ValueError:
        raise InvalidInput(
            f"{text!r} is not an objective", hint="Use NAME:MILLISECONDS, such as ttft:500."
        ) from None


def read_load_config(
    model: str,
    provider: Provider,
    settings: Settings,
    options: Mapping[str, Any],
    dataset: Dataset | None,
) -> LoadTestConfig:
    """Check the options of a load test.

    Args:
        model: `provider/model_id`, resolved.
        provider: its provider.
        settings: rate limits where the provider has none of its own.
        options: see `LoadTestOptions`.
        dataset: of the option `dataset`, read.

    Raises:
        InvalidInput: an option is not known or makes no sense, or a bound would not hold.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if unknown := sorted(set(given) - set(LoadTestOptions.__annotations__)):
        raise InvalidInput(f"a load test has no option {unknown[0]!r}")
    trace = _read_trace_option(given)
    steps = _read_steps(given, trace)
    bounds = _read_bounds(given, provider)
    values = _plain_values(given, bounds, dataset)
    config = LoadTestConfig(
        model=model,
        name=str(given.get("name") or model),
        steps=steps,
        arrival="trace" if trace else _read_arrival(given),
        trace=trace,
        prompts=_make_prompts(model, provider, values, given, dataset),
        bounds=bounds,
        own_limit=_own_limit(provider, settings),
        values=values,
    )
    _require_bounds(config)
    return config


def _read_trace_option(given: Mapping[str, Any]) -> Schedule | None:
    if "trace" not in given:
        return None
    speed = _number(given, "trace_speed", 1.0)
    return read_trace(Path(given["trace"]).expanduser(), speed=speed)


def _read_arrival(given: Mapping[str, Any]) -> Arrival:
    arrival = given.get("arrival", "poisson")
    if arrival == "poisson":
        return "poisson"
    if arrival == "constant":
        return "constant"
    raise InvalidInput(f"`arrival` must be poisson or constant, not {arrival!r}")


def _read_steps(given: Mapping[str, Any], trace: Schedule | None) -> tuple[LoadStep, ...]:
    kinds = [name for name in ("concurrency", "rate", "trace", "sweep") if given.get(name)]
    if len(kinds) > 1:
        raise InvalidInput(
            f"{' and '.join(kinds)} cannot be used together",
            hint="Give one: a concurrency (closed loop), or a rate or a trace (open loop).",
        )
    if given.get("requests") is not None and given.get("seconds") is not None:
        raise InvalidInput("give `requests` or `seconds` of a step, not both")
    if trace is not None:
        return (_trace_step(given, trace),)
    if "rate" in given:
        targets = _several(given, "rate", least=0.001)
        return tuple(_step(given, n, "open", target) for n, target in enumerate(targets, 1))
    targets = SWEEP if given.get("sweep") else _several(given, "concurrency", default=1)
    if any(target != int(target) or target > MOST_CONCURRENT for target in targets):
        raise InvalidInput(f"`concurrency` must be whole numbers up to {MOST_CONCURRENT:,}")
    return tuple(_step(given, n, "closed", target) for n, target in enumerate(targets, 1))


def _trace_step(given: Mapping[str, Any], trace: Schedule) -> LoadStep:
    if given.get("requests") is not None or given.get("seconds") is not None:
        raise InvalidInput("a trace has its own number of requests and its own length")
    warmup = _whole(given, "warmup", 0, least=0)
    if warmup >= len(trace):
        raise InvalidInput(f"{warmup:,} warm-up requests leave nothing of the trace")
    span_s = trace.offsets_s[-1] - trace.offsets_s[0]
    rate = (len(trace) - 1) / span_s if span_s > 0 else float(len(trace))
    return LoadStep(
        number=1,
        loop="open",
        target=rate,
        warmup=warmup,
        requests=len(trace) - warmup,
        extra=0 if "warmup" in given else 1,
    )


def _step(given: Mapping[str, Any], number: int, loop: Loop, target: float) -> LoadStep:
    is_closed = loop == "closed"
    warmup = _whole(given, "warmup", int(target) if is_closed else _WARMUP, least=0)
    seconds = _number(given, "seconds", 1.0) if given.get("seconds") is not None else None
    if seconds is not None and is_closed:
        return LoadStep(number=number, loop=loop, target=target, warmup=warmup, seconds=seconds)
    if seconds is not None:  # as many requests as come in that time on average
        count = max(1, math.ceil(seconds * target))
        return LoadStep(number=number, loop=loop, target=target, warmup=warmup, requests=count)
    usual = max(_REQUESTS, _REQUESTS_PER_WORKER * int(target)) if is_closed else _REQUESTS
    requests = _whole(given, "requests", usual, least=1)
    return LoadStep(number=number, loop=loop, target=target, warmup=warmup, requests=requests)


def _read_bounds(given: Mapping[str, Any], provider: Provider) -> Bounds:
    usd = given.get("max_usd")
    if usd is not None:
        try:
            usd = Decimal(str(usd))
        except ArithmeticError:
            usd = Decimal("NaN")
        if not usd.is_finite() or usd < 0:
            raise InvalidInput("`max_usd` must be an amount in USD, 0 or more")
    if usd is None and not provider.is_local:
        raise InvalidInput(
            f"{provider.display_name} is a cloud provider, and a load test may cost money",
            provider=provider.name,
            hint="Set the most that it may cost: max_usd, or --max-usd on the command line.",
        )
    usual_rate = MAX_RATE_LOCAL if provider.is_local else MAX_RATE_CLOUD
    return Bounds(
        max_requests=_whole(given, "max_requests", MAX_REQUESTS, least=1),
        max_seconds=_number(given, "max_seconds", MAX_SECONDS),
        max_rate=_number(given, "max_rate", usual_rate),
        max_usd=usd,
        max_consecutive_errors=_whole(given, "max_consecutive_errors", 20, least=1),
        max_concurrency=_whole(given, "max_concurrency", MOST_CONCURRENT, least=1),
    )


def _plain_values(
    given: Mapping[str, Any], bounds: Bounds, dataset: Dataset | None
) -> dict[str, Any]:
    """The options that have no home of their own in the configuration, as plain values."""
    return {
        "repeats": _whole(given, "repeats", 1, least=1),
        "objectives": _read_objectives(given.get("objectives") or {}),
        "seed": _whole(given, "seed", 0, least=0),
        "retries": _whole(given, "retries", 0, least=0),
        "timeout_s": given.get("timeout_s"),
        "stream": bool(given.get("stream", True)),
        "until_saturated": bool(given.get("until_saturated") or given.get("sweep")),
        "allow_unpriced": bool(given.get("allow_unpriced")),
        "params": dict(given.get("params") or {}),
        "input_tokens": None if dataset else _whole(given, "input_tokens", 128, least=1),
        "output_tokens": _whole(given, "output_tokens", 64, least=1),
        "prefix_tokens": _whole(given, "prefix_tokens", 0, least=0),
        "max_requests": bounds.max_requests,
        "max_seconds": bounds.max_seconds,
        "max_rate": bounds.max_rate,
        "max_usd": None if bounds.max_usd is None else str(bounds.max_usd),
        "max_concurrency": bounds.max_concurrency,
        "max_consecutive_errors": bounds.max_consecutive_errors,
        "tags": {str(k): str(v) for k, v in (given.get("tags") or {}).items()},
    }


def _make_prompts(
    model: str,
    provider: Provider,
    values: Mapping[str, Any],
    given: Mapping[str, Any],
    dataset: Dataset | None,
) -> PromptSource:
    if dataset is not None:
        if given.get("input_tokens") is not None or given.get("prefix_tokens") is not None:
            raise InvalidInput("the prompts of a dataset have their own length")
        output_tokens, system = values["output_tokens"], given.get("system")
        return DatasetPrompts(dataset, output_tokens=output_tokens, system=system)
    lengths = {name: values[name] for name in ("input_tokens", "output_tokens", "prefix_tokens")}
    require_lengths(**lengths)
    return SyntheticPrompts(
        model, **lengths, seed=values["seed"], is_exact=provider.type == "openai"
    )


def _read_objectives(given: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for name, limit in given.items():
        if name not in OBJECTIVES:
            raise InvalidInput(
                f"there is no objective {name!r}", hint=f"Use {', '.join(OBJECTIVES)}."
            )
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0:
            raise InvalidInput(f"the objective {name} must be milliseconds above 0")
        found[name] = float(limit)
    return found


def _own_limit(provider: Provider, settings: Settings) -> float | None:
    """Requests per second that our own rate limiter lets through to a provider."""
    rpm = provider.rpm
    if rpm is None and not provider.is_local:
        rpm = settings.default_rpm
    return rpm / (provider.rate_window_s or settings.rate_window_s) if rpm else None


def _require_bounds(config: LoadTestConfig) -> None:
    """Refuse a plan that would meet a bound: its figures would be those of the bound."""
    bounds, planned = config.bounds, config.planned
    if planned is not None and planned > bounds.max_requests:
        raise InvalidInput(
            f"{planned:,} requests are planned, warm-up included, and at most "
            f"{bounds.max_requests:,} are allowed",
            hint="Plan fewer, or raise max_requests (--max-requests).",
        )
    open_rates = [step.target for step in config.steps if step.loop == "open"]
    if config.trace is not None:
        open_rates = [config.trace.peak_rate]
    fastest = max(open_rates, default=0.0)
    if fastest > bounds.max_rate:
        raise InvalidInput(
            f"{fastest:.4g} requests per second are planned, and at most {bounds.max_rate:g} "
            "are allowed",
            hint="Plan a lower rate, or raise max_rate (--max-rate).",
        )
    if config.own_limit is not None and fastest > config.own_limit:
        name = config.model.partition("/")[0]
        raise InvalidInput(
            f"{fastest:.4g} requests per second are planned, and the toolkit's own rate limit of "
            f"{name} lets {config.own_limit:.4g} through",
            provider=name,
            hint=f"Plan a lower rate, or raise it: toolkit providers update {name} --rpm N.",
        )


def _several(
    given: Mapping[str, Any], name: str, *, least: float = 1, default: float | None = None
) -> tuple[float, ...]:
    """One number or several, as steps."""
    value = given.get(name, default)
    listed = list(value) if isinstance(value, list | tuple) else [value]
    if not listed:
        raise InvalidInput(f"`{name}` has no value")
    return tuple(_number({name: item}, name, 1.0, least=least) for item in listed)


def _number(given: Mapping[str, Any], name: str, default: float, *, least: float = 0.0) -> float:
    value = given.get(name, default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < least or value <= 0:
        what = f"{least:g} or more" if least else "above 0"
        raise InvalidInput(f"`{name}` must be a number {what}, not {value!r}")
    return float(value)


def _whole(given: Mapping[str, Any], name: str, default: int, *, least: int) -> int:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidInput(f"`{name}` must be a whole number, {least} or more, not {value!r}")
    return value
