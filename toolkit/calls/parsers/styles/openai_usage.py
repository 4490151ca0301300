"""Usage of OpenAI's chat completions in every spelling of those who copy it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from toolkit.calls.parsers.error_messages import ProviderWords
from toolkit.calls.parsers.parsed_response import ParsedResponse, name_set

_USD_PER_TICK: Final = Decimal("1e-10")

_USAGE: Final = name_set(
    "prompt_tokens completion_tokens total_tokens input_tokens output_tokens reasoning_tokens "
    "prompt_tokens_details completion_tokens_details input_tokens_details "
    "output_tokens_details prompt_cache_hit_tokens prompt_cache_miss_tokens cached_tokens "
    "num_cached_tokens cache_read_input_tokens cache_creation_input_tokens cache_creation "
    "cost cost_in_usd_ticks cost_details is_byok market_cost estimated_cost server_tool_use "
    "server_tool_use_details num_sources_used num_search_queries citation_tokens "
    "search_context_size service_tier audio_prompt_tokens prompt_audio_seconds "
    "latency_checkpoint completion_time prompt_time queue_time total_time speed inference_geo "
    "prompt_unit_price completion_unit_price prompt_price completion_price total_price "
    "currency price latency tool_usage"
)

_DETAILS: Final = (
    *("prompt_tokens_details", "input_tokens_details"),
    *("completion_tokens_details", "output_tokens_details"),
)


def read_usage(reading: ParsedResponse, value: Mapping[str, Any]) -> None:
    """Read the usage of a body or a chunk, where it has any."""
    usage = value.get("usage")
    if not usage:
        if not isinstance(groq := value.get("x_groq"), dict):
            return
        usage = groq.get("usage")
        if isinstance(error := groq.get("error"), str):
            reading.error = ProviderWords(message=error)
    if not isinstance(usage, dict):
        if usage:
            reading.flag_type("usage", usage)
        return
    reading.note_unread("usage.", usage, _USAGE)
    prompt = _details(usage, "prompt_tokens_details", "input_tokens_details")
    completion = _details(usage, "completion_tokens_details", "output_tokens_details")
    for name in _DETAILS:
        if (odd := usage.get(name)) and not isinstance(odd, dict):
            reading.flag_type(f"usage.{name}", odd)
    thought = _first(completion, "reasoning_tokens")
    asked, answered, reasoned, *_ = reading.counts(
        ("input_tokens", _first(usage, "prompt_tokens", "input_tokens")),
        ("output_tokens", _first(usage, "completion_tokens", "output_tokens")),
        ("reasoning_tokens", usage.get("reasoning_tokens") if thought is None else thought),
        *_cache_counts(usage, prompt),
        *_search_counts(usage),
        *((f"{kind}_input_tokens", prompt.get(f"{kind}_tokens")) for kind in ("audio", "image")),
        *(
            (f"{kind}_output_tokens", completion.get(f"{kind}_tokens"))
            for kind in ("audio", "image")
        ),
    )
    # xAI counts reasoning beside the completion, not inside it; its total gives it away.
    beside = (asked or 0) + (answered or 0) + (reasoned or 0)
    if (
        answered is not None
        and reasoned
        and reading.read_count(usage.get("total_tokens")) == beside
    ):
        reading.count("output_tokens", answered + reasoned)
    _add_cache_beside(reading, usage)
    _read_cost(reading, usage)
    if isinstance(tier := usage.get("service_tier"), str) and tier:
        reading.service_tier = tier


def _add_cache_beside(reading: ParsedResponse, usage: Mapping[str, Any]) -> None:
    """Count cache reads and writes as input where they are beside the prompt, as Anthropic's are.

    A gateway that passes Anthropic's names on may have left its counts as they were: the parts
    are then larger than the prompt, or the total holds them as well.
    """
    names = ("cache_read_input_tokens", "cache_creation_input_tokens")
    parts = sum(reading.read_count(usage.get(name)) or 0 for name in names)
    asked, answered = reading.tokens.get("input_tokens"), reading.tokens.get("output_tokens")
    if not parts or asked is None:
        return
    total = reading.read_count(usage.get("total_tokens"))
    if parts > asked or (answered is not None and total == asked + answered + parts):
        reading.count("input_tokens", asked + parts)


def _details(usage: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    found = next((usage[name] for name in names if isinstance(usage.get(name), dict)), None)
    return {} if found is None else found


def _first(usage: Mapping[str, Any], *names: str) -> Any:
    return next((usage[name] for name in names if usage.get(name) is not None), None)


def _cache_counts(
    usage: Mapping[str, Any], details: Mapping[str, Any]
) -> tuple[tuple[str, Any], ...]:
    """Cache reads and writes: OpenAI's, DeepSeek's, Mistral's and Anthropic's spellings."""
    cached = _first(details, "cached_tokens", "cache_read_input_tokens")
    if cached is None:
        cached = _first(
            usage,
            "prompt_cache_hit_tokens",
            "cached_tokens",
            "num_cached_tokens",
            "cache_read_input_tokens",
        )
    written = _first(details, "cache_write_tokens", "cache_creation_tokens")
    if written is None:
        written = _first(details, "cache_creation_input_tokens")
    if written is None:
        written = usage.get("cache_creation_input_tokens")
    lifetimes = _details(usage, "cache_creation")
    if not lifetimes:
        lifetimes = _details(details, "cache_creation", "cache_creation_token_details")
    return (
        ("cached_input_tokens", cached),
        ("cache_write_tokens", written),
        ("cache_write_1h_tokens", lifetimes.get("ephemeral_1h_input_tokens")),
    )


def _search_counts(usage: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in ("server_tool_use", "server_tool_use_details"):
        if isinstance(uses := usage.get(name), dict):
            yield "web_searches", uses.get("web_search_requests")
    yield "web_searches", usage.get("num_search_queries")


def _read_cost(reading: ParsedResponse, usage: Mapping[str, Any]) -> None:
    """What the call cost: OpenRouter and Vercel, Perplexity, DeepInfra, Dify, xAI."""
    cost, currency = usage.get("cost"), usage.get("currency")
    parts = _details(usage, "cost")
    if parts:
        cost, currency = parts.get("total_cost"), parts.get("currency", currency)
    if cost is None:
        cost = usage.get("estimated_cost")
    if cost is None and isinstance(currency, str):  # without one it may be any
        cost = usage.get("total_price")
    reading.cost(cost, currency)
    ticks = reading.read_count(usage.get("cost_in_usd_ticks"))
    if ticks is not None:
        reading.cost(_USD_PER_TICK * ticks)
