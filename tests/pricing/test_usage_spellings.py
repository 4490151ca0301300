"""The same usage in every provider's spelling costs the same, by arithmetic done by hand.

Rates are in USD per million, so a token costs as many millionths of a dollar as its rate says.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from toolkit.calls.parsers.stream_parser import choose_reader, read_body
from toolkit.pricing.price import Price, Rate
from toolkit.pricing.receipts import build_receipt
from toolkit.records import Receipt

RATES = {
    "input": "2", "cached_input": "0.2", "cache_write": "2.5", "cache_write_1h": "4",
    "audio_input": "40", "cached_audio_input": "4", "image_input": "3",
    "output": "10", "audio_output": "80", "image_output": "30", "web_search": "10000",
}  # fmt: skip
PRICE = Price(
    price_id="p",
    source="override",
    date=None,
    rates=tuple(
        Rate(token_class=name, usd_per_million=Decimal(usd))  # type: ignore[arg-type]
        for name, usd in RATES.items()
    ),
)
# Unless a row says otherwise: 100 tokens in (200), 50 out (500).
CHAT = {"prompt_tokens": 100, "completion_tokens": 50}
CLAUDE = {"input_tokens": 100, "output_tokens": 50}
GEMINI = {"promptTokenCount": 100, "candidatesTokenCount": 50}
CONVERSE = {"inputTokens": 100, "outputTokens": 50}
READ_40 = {"cached_tokens": 40}
# style, usage, millionths of a dollar
TABLE: tuple[tuple[str, str, dict[str, Any], float], ...] = (
    ("openai", "plain", CHAT, 700),
    ("openai", "other names", {"input_tokens": 100, "output_tokens": 50}, 700),
    ("openai", "texts", {"prompt_tokens": "100", "completion_tokens": "50"}, 700),
    ("openai", "null details", {**CHAT, "prompt_tokens_details": None}, 700),
    ("openai", "zero cached", {**CHAT, "prompt_tokens_details": {"cached_tokens": 0}}, 700),
    ("openai", "cached, OpenAI", {**CHAT, "prompt_tokens_details": READ_40}, 628),
    ("openai", "cached, DeepSeek", {**CHAT, "prompt_cache_hit_tokens": 40,
                                    "prompt_cache_miss_tokens": 60}, 628),
    ("openai", "cached, Moonshot", {**CHAT, "cached_tokens": 40}, 628),
    ("openai", "cached, Fireworks", {**CHAT, "num_cached_tokens": 40}, 628),
    ("openai", "written, OpenRouter",
     {**CHAT, "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 20}}, 638),
    ("openai", "written, LiteLLM proxy",
     {**CHAT, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 20,
      "prompt_tokens_details": READ_40, "total_tokens": 150}, 638),
    ("openai", "written, Vercel",
     {**CHAT, "cache_creation_input_tokens": 20, "prompt_tokens_details": READ_40}, 638),
    ("openai", "cache beside the prompt, by its size",
     {"prompt_tokens": 5, "completion_tokens": 50, "cache_read_input_tokens": 1000,
      "cache_creation_input_tokens": 200}, 1210),
    ("openai", "cache beside the prompt, by the total",
     {**CHAT, "cache_read_input_tokens": 40, "total_tokens": 190}, 708),
    ("openai", "reasoning inside",
     {**CHAT, "completion_tokens_details": {"reasoning_tokens": 30}, "total_tokens": 150}, 700),
    ("openai", "reasoning beside, xAI",
     {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 150,
      "completion_tokens_details": {"reasoning_tokens": 30}}, 700),
    ("openai", "audio", {**CHAT, "prompt_tokens_details": {"audio_tokens": 30},
                         "completion_tokens_details": {"audio_tokens": 20}}, 3240),
    ("openai", "pictures in", {**CHAT, "prompt_tokens_details": {"image_tokens": 30}}, 730),
    ("openai", "pictures out", {**CHAT, "completion_tokens_details": {"image_tokens": 40}}, 1500),
    ("openai", "searches", {**CHAT, "server_tool_use": {"web_search_requests": 2}}, 20_700),
    ("openai", "searches, Perplexity", {**CHAT, "num_search_queries": 1}, 10_700),
    ("responses", "plain", {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150}, 700),
    ("responses", "cached and reasoning",
     {"input_tokens": 100, "output_tokens": 50, "input_tokens_details": READ_40,
      "output_tokens_details": {"reasoning_tokens": 30}}, 628),
    ("anthropic", "plain", CLAUDE, 700),
    ("anthropic", "read", {**CLAUDE, "input_tokens": 60, "cache_read_input_tokens": 40}, 628),
    ("anthropic", "read and written",
     {**CLAUDE, "input_tokens": 40, "cache_read_input_tokens": 40,
      "cache_creation_input_tokens": 20}, 638),
    ("anthropic", "written for an hour",
     {**CLAUDE, "input_tokens": 40, "cache_read_input_tokens": 40,
      "cache_creation_input_tokens": 20,
      "cache_creation": {"ephemeral_5m_input_tokens": 12, "ephemeral_1h_input_tokens": 8}}, 650),
    ("anthropic", "written, by lifetime only",
     {**CLAUDE, "input_tokens": 40,
      "cache_creation": {"ephemeral_5m_input_tokens": 12, "ephemeral_1h_input_tokens": 8}}, 642),
    ("anthropic", "searches", {**CLAUDE, "server_tool_use": {"web_search_requests": 2}}, 20_700),
    ("gemini", "plain", GEMINI, 700),
    ("gemini", "cached", {**GEMINI, "cachedContentTokenCount": 40}, 628),
    ("gemini", "thoughts beside", {**GEMINI, "candidatesTokenCount": 20, "thoughtsTokenCount": 30,
                                   "totalTokenCount": 150}, 700),
    ("gemini", "thoughts only", {"promptTokenCount": 100, "thoughtsTokenCount": 50,
                                 "totalTokenCount": 150}, 700),
    ("gemini", "prompt of tools", {**GEMINI, "promptTokenCount": 80,
                                   "toolUsePromptTokenCount": 20, "totalTokenCount": 150}, 700),
    ("gemini", "audio in", {**GEMINI, "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 70}, {"modality": "AUDIO", "tokenCount": 30}]}, 1840),
    ("gemini", "cached audio", {**GEMINI, "cachedContentTokenCount": 40, "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 70}, {"modality": "AUDIO", "tokenCount": 30}],
        "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 30},
                               {"modality": "AUDIO", "tokenCount": 10}]}, 1426),
    ("gemini", "pictures out", {**GEMINI, "candidatesTokensDetails": [
        {"modality": "TEXT", "tokenCount": 10}, {"modality": "IMAGE", "tokenCount": 40}]}, 1500),
    ("converse", "plain", {**CONVERSE, "totalTokens": 150}, 700),
    ("converse", "read and written",
     {**CONVERSE, "inputTokens": 40, "cacheReadInputTokens": 40, "cacheWriteInputTokens": 20}, 638),
    ("converse", "written for an hour",
     {**CONVERSE, "inputTokens": 40, "cacheReadInputTokens": 40, "cacheWriteInputTokens": 20,
      "cacheDetails": [{"ttl": "5m", "inputTokens": 12}, {"ttl": "1h", "inputTokens": 8}]}, 650),
    ("cohere", "billed units", {"billed_units": {"input_tokens": 100, "output_tokens": 50},
                                "tokens": {"input_tokens": 140, "output_tokens": 55}}, 700),
    ("ollama", "counts", {"prompt_eval_count": 100, "eval_count": 50}, 700),
)  # fmt: skip


def body(style: str, usage: dict[str, Any]) -> dict[str, Any]:
    """A good answer of a style with this usage."""
    said = {"role": "assistant", "content": "Hi."}
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text",
                                                                 "text": "Hi."}]}  # fmt: skip
    bodies: dict[str, dict[str, Any]] = {
        "openai": {"choices": [{"index": 0, "message": said, "finish_reason": "stop"}],
                   "usage": usage},
        "responses": {"id": "r", "object": "response", "status": "completed", "output": [item],
                      "usage": usage},
        "anthropic": {"type": "message", "role": "assistant", "usage": usage,
                      "content": [{"type": "text", "text": "Hi."}], "stop_reason": "end_turn"},
        "gemini": {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi."}]},
                                   "finishReason": "STOP"}], "usageMetadata": usage},
        "converse": {"output": {"message": {"role": "assistant", "content": [{"text": "Hi."}]}},
                     "stopReason": "end_turn", "usage": usage},
        "cohere": {"finish_reason": "COMPLETE", "usage": usage,
                   "message": {"role": "assistant", "content": [{"type": "text", "text": "Hi."}]}},
        "ollama": {"message": said, "done": True, "done_reason": "stop", **usage},
    }  # fmt: skip
    return bodies[style]


def receipt(style: Any, usage: dict[str, Any], price: Price = PRICE) -> Receipt:
    """What a parsed answer with this usage is charged."""
    parser = choose_reader(style)
    read_body(json.dumps(body(style, usage)).encode(), parser)
    return build_receipt(parser.reading.usage(), price)


@pytest.mark.parametrize(
    ("style", "usage", "millionths"),
    [pytest.param(row[0], *row[2:], id=f"{row[0]}: {row[1]}") for row in TABLE],
)
def test_a_usage_costs_what_arithmetic_by_hand_says(
    style: str, usage: dict[str, Any], millionths: float
) -> None:
    found = receipt(style, usage)
    assert found.cost_usd == Decimal(str(millionths)) / 1_000_000, found.lines
    assert found.unpriced == ()


@pytest.mark.parametrize(
    ("style", "usage", "more", "searches"),
    [
        ("responses", CLAUDE, {"output": [
            {"type": "web_search_call", "action": {"type": "search", "query": "a"}},
            {"type": "web_search_call", "action": {"type": "open_page", "url": "https://a.b"}},
            {"type": "web_search_call", "action": {"type": "search", "query": "c"}}]}, 2),
        ("gemini", GEMINI, {"modelVersion": "gemini-2.5-flash"}, 1),
        ("gemini", GEMINI, {"modelVersion": "gemini-3-pro-preview"}, 2),
    ],
)  # fmt: skip
def test_searches_that_no_usage_counts_are_charged(
    style: Any, usage: dict[str, Any], more: dict[str, Any], searches: int
) -> None:
    answer = body(style, usage) | more
    if style == "gemini":
        answer["candidates"][0]["groundingMetadata"] = {"webSearchQueries": ["a", "b"]}
    else:
        answer["output"] += body(style, usage)["output"]
    parser = choose_reader(style)
    read_body(json.dumps(answer).encode(), parser)
    found = build_receipt(parser.reading.usage(), PRICE)
    assert found.cost_usd == Decimal("0.0007") + searches * Decimal("0.01")


def test_more_cached_tokens_than_input_make_a_receipt_partial() -> None:
    """Grok on Azure: 161 cached of a prompt of 10, and a total without them."""
    found = receipt("openai", {"prompt_tokens": 10, "completion_tokens": 213, "total_tokens": 223,
                               "prompt_tokens_details": {"cached_tokens": 161}})  # fmt: skip
    assert found.unpriced == ("cached_input",)
    assert "more cached tokens are reported" in (found.note or "")


def test_billed_units_that_differ_from_the_tokens_are_named() -> None:
    tokens = {"input_tokens": 140, "output_tokens": 55}
    same = receipt("cohere", {"billed_units": tokens, "tokens": tokens})
    less = receipt("cohere", {"billed_units": {**tokens, "input_tokens": 100}, "tokens": tokens})
    assert same.note is None
    assert "bills other counts of tokens" in (less.note or "")


@pytest.mark.parametrize(
    ("style", "usage", "named"),
    [
        ("openai", {**CHAT, "service_tier": "flex"}, "input@flex"),
        ("openai", {**CHAT, "completion_tokens_details": {"audio_tokens": 20}}, "audio_output"),
        ("openai", {**CHAT, "prompt_tokens_details": {"audio_tokens": 20}}, "audio_input"),
        ("openai", {**CHAT, "num_search_queries": 1}, "web_search"),
        ("openai", {**CHAT, "prompt_tokens_details": READ_40}, "cached_input"),
        ("anthropic", {**CLAUDE, "service_tier": "priority"}, "input@priority"),
        ("anthropic", {**CLAUDE, "server_tool_use": {"web_search_requests": 2}}, "web_search"),
        ("anthropic", {**CLAUDE, "cache_creation_input_tokens": 20}, "cache_write"),
        ("gemini", {**GEMINI, "serviceTier": "FLEX"}, "input@flex"),
        ("converse", {**CONVERSE, "cacheReadInputTokens": 40}, "cached_input"),
    ],
)  # fmt: skip
def test_a_class_or_tier_without_a_price_is_named_on_the_receipt(
    style: str, usage: dict[str, Any], named: str
) -> None:
    plain = tuple(rate for rate in PRICE.rates if rate.token_class in ("input", "output"))
    found = receipt(style, usage, Price(price_id="q", source="override", date=None, rates=plain))
    assert named in found.unpriced
    assert found.note
    if named.startswith("input@"):
        assert found.cost_usd is None
