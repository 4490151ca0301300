"""What genai-prices says about a model, with the history of its prices (bundled, offline)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache, lru_cache
from importlib.metadata import version
from typing import Any, Final

from toolkit.catalog.listings.item import plain
from toolkit.catalog.sources.facts import SourceFacts
from toolkit.catalog.sources.hosts_of_url import Host
from toolkit.pricing.price import Rate
from toolkit.records import PriceClass

_PER_MILLION: Final = Decimal(1)
_PER_THOUSAND: Final = Decimal(1000)
_CLASSES: Final[tuple[tuple[str, PriceClass, Decimal], ...]] = (
    ("input_mtok", "input", _PER_MILLION),
    ("output_mtok", "output", _PER_MILLION),
    ("cache_read_mtok", "cached_input", _PER_MILLION),
    ("cache_write_mtok", "cache_write", _PER_MILLION),
    ("cache_write_1h_mtok", "cache_write_1h", _PER_MILLION),
    ("output_reasoning_mtok", "reasoning", _PER_MILLION),
    ("input_audio_mtok", "audio_input", _PER_MILLION),
    ("cache_audio_read_mtok", "cached_audio_input", _PER_MILLION),
    ("output_audio_mtok", "audio_output", _PER_MILLION),
    ("input_image_mtok", "image_input", _PER_MILLION),
    ("output_image_mtok", "image_output", _PER_MILLION),
    ("requests_kcount", "request", _PER_THOUSAND),
    ("web_searches_kcount", "web_search", _PER_THOUSAND),
    ("storage_searches_kcount", "file_search", _PER_THOUSAND),
)
_TIERS: Final[tuple[tuple[str, dict[str, str]], ...]] = (
    ("batch", {"processing": "batch"}),
    ("flex", {"service_tier": "flex"}),
    ("priority", {"service_tier": "priority"}),
)


@cache
def load() -> Any:
    """The bundled snapshot; the first time takes half a second."""
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot()


@lru_cache(maxsize=50_000)
def _find_model(genai_name: str, model_id: str) -> Any:
    """genai-prices' record of a model, or None; its matching costs about a millisecond."""
    try:
        _, model = load().find_provider_model(model_id, None, genai_name, None)
    except LookupError:
        return None
    return model


@cache
def edition() -> str:
    """The version of genai-prices that is installed."""
    return f"genai-prices {version('genai-prices')}"


def find_facts(host: Host, model_id: str, at: date) -> SourceFacts | None:
    """What genai-prices says about a model at a host on a day, or None."""
    if host.genai is None:
        return None
    model = _find_model(host.genai, model_id)
    if model is None:
        return None
    moment = datetime.combine(at, time(12), UTC)
    rows = _prices(model.get_prices(moment), "standard")
    standard = {(r.token_class, r.above_tokens): r.usd_per_million for r in rows}
    for tier, context in _TIERS:
        for row in _prices(model.get_prices(moment, context), tier):
            if standard.get((row.token_class, row.above_tokens)) != row.usd_per_million:
                rows.append(row)
    return SourceFacts(
        source="genai-prices",
        as_of=_since(model, moment),
        key=f"{host.genai}/{model.id}",
        edition=edition(),
        context_window_tokens=model.context_window,
        prices=tuple(rows),
    )


def price_history(host: Host, model_id: str) -> list[tuple[date | None, tuple[Rate, ...]]]:
    """Dated standard prices, oldest first; None as the day means "from the beginning"."""
    model = None if host.genai is None else _find_model(host.genai, model_id)
    if model is None:
        return []
    if not isinstance(model.prices, list):
        return [(None, tuple(_prices(model.prices, "standard")))]
    steps = []
    for condition in model.prices:
        start = getattr(condition.constraint, "start_date", None)
        if condition.constraint is None or start is not None:
            steps.append((start, tuple(_prices(condition.prices, "standard"))))
    return steps


def _since(model: Any, moment: datetime) -> date | None:
    """The day since which the price in force holds, where genai-prices knows it."""
    if not isinstance(model.prices, list):
        return None
    starts = [getattr(condition.constraint, "start_date", None) for condition in model.prices]
    return max((start for start in starts if start and start <= moment.date()), default=None)


def _prices(price: Any, tier: str) -> list[Rate]:
    rows: list[Rate] = []
    for name, token_class, unit in _CLASSES:
        value = getattr(price, name, None)
        for above, usd in _steps(value):
            rows.append(
                Rate(
                    token_class=token_class,
                    usd_per_million=plain(usd * unit),
                    tier=tier,
                    above_tokens=above,
                )
            )
    return rows


def _steps(value: Any) -> list[tuple[int, Decimal]]:
    """A plain price, or a base and the prices above thresholds of input tokens."""
    if value is None:
        return []
    if isinstance(value, Decimal):
        return [(0, value)]
    return [(0, value.base), *((tier.start, tier.price) for tier in value.tiers)]
