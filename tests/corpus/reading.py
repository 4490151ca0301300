"""What a recorded body means, read from the providers' API documents alone.

The judge of `test_real_traffic`: it shares no line with the toolkit and imports nothing of it.
It is not made to survive a broken wire; it reads bodies that a provider really sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.corpus.error_reading import name_error, name_inner_error, read_stated_wait

Json = Any

_STYLES = {"chat": "openai", "messages": "anthropic", "generate_content": "gemini"}

# Finish words by document: OpenAI "Create chat completion", Mistral "model_length", Hugging Face
# TGI "eos_token"/"stop_sequence", Together "eos", Anthropic "Stop reasons", Google "FinishReason".
_FINISH = {
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "STOP": "stop",
    "max_tokens": "length",
    "MAX_TOKENS": "length",
    "model_length": "length",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
}
_GOOGLE_NUMBERS: Mapping[Any, str] = {1: "STOP", 2: "MAX_TOKENS"}  # enumerations as numbers
_GOOGLE_BLOCKS = {
    *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"),
    "MODEL_ARMOR",
}


@dataclass
class Meaning:
    """What one answer means.

    Attributes:
        text, reasoning: what the model said and thought.
        tools: (name, arguments as JSON value) of each tool call, in order.
        finish: finish reason in OpenAI's terms, the provider's own word, or None.
        input_tokens ... web_searches: usage by class; None where the provider is silent.
        has_other: content of another kind (an image, the trace of a server tool).
        cost_usd: what the provider says the call cost.
        error: code of the toolkit's error class, or None for an answer.
        retry_after_s: what the provider asks to wait, where the error says it in seconds.
    """

    text: str = ""
    reasoning: str = ""
    tools: list[tuple[str, Json]] = field(default_factory=list)
    finish: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    image_input_tokens: int | None = None
    image_output_tokens: int | None = None
    web_searches: int | None = None
    has_other: bool = False
    cost_usd: float | None = None
    error: str | None = None
    retry_after_s: float | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.text or self.reasoning or self.tools or self.has_other)


def read(interaction: Mapping[str, Any]) -> Meaning:
    """What the recorded answer of an interaction means."""
    status, body = interaction["status"], interaction["response_body"]
    headers = {name.lower(): value for name, value in interaction["response_headers"].items()}
    if status >= 400:
        words = body if isinstance(body, str) else json.dumps(body)
        return Meaning(
            error=name_error(status, words), retry_after_s=read_stated_wait(headers, words)
        )
    style = _STYLES[interaction["endpoint_kind"]]
    parts = list(_parts(body, is_stream=interaction["stream"]))
    if error := next((part["error"] for part in parts if part.get("error")), None):
        return Meaning(error=name_inner_error(error))
    meaning = {"openai": _read_openai, "anthropic": _read_anthropic, "gemini": _read_gemini}[style](
        parts, interaction["stream"]
    )
    if meaning.error is None and meaning.is_empty and not _explains_emptiness(meaning, interaction):
        meaning.error = "PARSE_ERROR"
    return meaning


def _explains_emptiness(meaning: Meaning, interaction: Mapping[str, Any]) -> bool:
    """An answer without anything in it is none, unless it says where its tokens went.

    A whole answer that ends properly with an empty text and no count is one, too.
    """
    if meaning.output_tokens or meaning.finish == "length":
        return True
    is_said = '"text": ""' in str(interaction["response_body"])
    return is_said and meaning.output_tokens is None and not interaction["stream"]


def _parts(body: Json, *, is_stream: bool) -> Iterator[dict[str, Any]]:
    """The JSON objects of a body: one, or those of an event stream or of Google's array."""
    if not isinstance(body, str):
        yield from body if isinstance(body, list) else [body]
        return
    if not is_stream:
        yield json.loads(body)
        return
    if body.lstrip().startswith("["):
        yield from json.loads(body)
        return
    for line in re.split(r"\r\n|\n|\r", body):
        if line.startswith("data:") and (data := line[5:].strip()) and data != "[DONE]":
            yield json.loads(data)


def _read_openai(parts: list[dict[str, Any]], is_stream: bool) -> Meaning:
    meaning = Meaning()
    calls: dict[int, tuple[str, list[str]]] = {}
    finish, refusal = "", ""
    for part in parts:
        for choice in part.get("choices") or []:
            if choice.get("index", 0) != 0:
                continue
            finish = choice.get("finish_reason") or finish
            message = choice.get("delta" if is_stream else "message") or {}
            _add_openai_content(meaning, message)
            refusal += message.get("refusal") or ""
            for place, call in enumerate(message.get("tool_calls") or []):
                at = call.get("index", place)
                name, arguments = calls.setdefault(at if at is not None else place, ("", []))
                function = call.get("function") or {}
                calls[at if at is not None else place] = (
                    name or function.get("name") or "",
                    arguments,
                )
                arguments.append(function.get("arguments") or "")
        _add_openai_usage(meaning, part)
        if isinstance(cost := part.get("cost"), dict):  # Venice
            meaning.cost_usd = float(cost["usd"])
    meaning.tools = [(name, _loads("".join(args))) for _, (name, args) in sorted(calls.items())]
    meaning.finish = _FINISH.get(finish, finish) or None
    if meaning.finish == "stop" and meaning.tools:  # OpenAI's word where a tool was forced
        meaning.finish = "tool_calls"
    _split_thoughts(meaning)
    if refusal or meaning.finish == "content_filter":
        meaning.error = "CONTENT_FILTERED"
    return meaning


def _add_openai_content(meaning: Meaning, message: Mapping[str, Any]) -> None:
    details = message.get("reasoning_details") or []
    described = "".join(d.get("text") or d.get("summary") or "" for d in details)
    thought = message.get("reasoning_content") or message.get("reasoning") or described
    meaning.reasoning += thought
    content = message.get("content") or ""
    if isinstance(content, dict):  # Cloudflare: the answer in JSON mode
        content = json.dumps(content, separators=(",", ":"))
    if isinstance(content, str):
        meaning.text += content
        content = []
    for piece in content:  # Mistral: typed parts
        if piece["type"] == "text":
            meaning.text += piece["text"]
        elif piece["type"] == "thinking":
            meaning.reasoning += "".join(inner.get("text", "") for inner in piece["thinking"])
        else:
            meaning.has_other = True
    if message.get("images") or message.get("audio"):
        meaning.has_other = True


def _add_openai_usage(meaning: Meaning, part: Mapping[str, Any]) -> None:
    usage = part.get("usage") or (part.get("x_groq") or {}).get("usage")
    if not usage:
        return
    asked = usage.get("prompt_tokens_details") or {}
    answered = usage.get("completion_tokens_details") or {}
    meaning.input_tokens = usage.get("prompt_tokens")
    meaning.output_tokens = usage.get("completion_tokens")
    cached = asked.get("cached_tokens")
    # DeepSeek, Mistral, Together
    for name in (
        "prompt_cache_hit_tokens",
        "num_cached_tokens",
        "cached_tokens",
        "cache_read_input_tokens",
    ):
        cached = usage.get(name) if cached is None else cached
    meaning.cached_input_tokens = cached
    # OpenAI; Databricks, Vercel and Doubleword use Anthropic's name
    written = asked.get("cache_write_tokens")
    written = usage.get("cache_creation_input_tokens") if written is None else written
    meaning.cache_write_tokens = written
    _add_openai_cost(meaning, usage)
    for kind in ("audio", "image"):
        setattr(meaning, f"{kind}_input_tokens", asked.get(f"{kind}_tokens"))
        setattr(meaning, f"{kind}_output_tokens", answered.get(f"{kind}_tokens"))
    lifetimes = usage.get("cache_creation") or {}
    meaning.cache_write_1h_tokens = lifetimes.get("ephemeral_1h_input_tokens")
    meaning.web_searches = (usage.get("server_tool_use_details") or {}).get("web_search_requests")
    reasoned = answered.get("reasoning_tokens")
    meaning.reasoning_tokens = usage.get("reasoning_tokens") if reasoned is None else reasoned
    reasoned = meaning.reasoning_tokens or 0
    if reasoned and usage["total_tokens"] == (
        usage["prompt_tokens"] + usage["completion_tokens"] + reasoned
    ):  # xAI counts reasoning beside the completion
        meaning.output_tokens = usage["completion_tokens"] + reasoned


def _add_openai_cost(meaning: Meaning, usage: Mapping[str, Any]) -> None:
    """OpenRouter and Vercel in USD, Perplexity as a table, xAI in ten-billionths of a dollar."""
    cost = usage.get("cost")
    if isinstance(cost, dict):
        cost = cost["total_cost"]
    if usage.get("cost_in_usd_ticks") is not None:
        cost = usage["cost_in_usd_ticks"] / 10**10
    meaning.cost_usd = cost


def _split_thoughts(meaning: Meaning) -> None:
    """Reasoning that a model writes at the beginning of its text, in tags."""
    if meaning.text.startswith("<think>"):
        thought, _, text = meaning.text.removeprefix("<think>").partition("</think>")
        meaning.reasoning, meaning.text = thought, text


def _read_anthropic(parts: list[dict[str, Any]], is_stream: bool) -> Meaning:
    meaning = Meaning()
    usage: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    finish = ""
    for part in parts:
        message = part.get("message", {}) if is_stream else part
        for source in (message.get("usage"), part.get("usage")):
            told = (source or {}).items()
            usage.update({name: count for name, count in told if count is not None})
        finish = (part.get("delta") or message).get("stop_reason") or finish
        if not is_stream:
            blocks = dict(enumerate(part["content"]))
        elif part.get("type") == "content_block_start":
            blocks[part["index"]] = {**part["content_block"], "json": ""}
        elif part.get("type") == "content_block_delta":
            _add_anthropic_delta(blocks[part["index"]], part["delta"])
    for block in (blocks[index] for index in sorted(blocks)):
        _add_anthropic_block(meaning, block)
    meaning.finish = _FINISH.get(finish, finish) or None
    if finish == "refusal":
        meaning.error = "CONTENT_FILTERED"
    if "input_tokens" in usage:
        cache = ("cache_read_input_tokens", "cache_creation_input_tokens")
        meaning.input_tokens = usage["input_tokens"] + sum(usage.get(name, 0) for name in cache)
    meaning.output_tokens = usage.get("output_tokens")
    meaning.cached_input_tokens = usage.get("cache_read_input_tokens")
    meaning.cache_write_tokens = usage.get("cache_creation_input_tokens")
    meaning.reasoning_tokens = (usage.get("output_tokens_details") or {}).get("thinking_tokens")
    lifetimes = usage.get("cache_creation") or {}
    meaning.cache_write_1h_tokens = lifetimes.get("ephemeral_1h_input_tokens")
    meaning.web_searches = (usage.get("server_tool_use") or {}).get("web_search_requests")
    return meaning


def _add_anthropic_delta(block: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for kind, name in (("text_delta", "text"), ("thinking_delta", "thinking")):
        if delta["type"] == kind:
            block[name] = block.get(name, "") + delta[name]
    if delta["type"] == "input_json_delta":
        block["json"] += delta["partial_json"]


def _add_anthropic_block(meaning: Meaning, block: Mapping[str, Any]) -> None:
    kind = block["type"]
    if kind == "text":
        meaning.text += block["text"]
    elif kind == "thinking":
        meaning.reasoning += block["thinking"]
    elif kind == "tool_use":
        given = json.loads(block["json"]) if block.get("json") else block["input"]
        meaning.tools.append((block["name"], given))
    else:
        meaning.has_other = True


def _read_gemini(parts: list[dict[str, Any]], is_stream: bool) -> Meaning:
    meaning = Meaning()
    usage: dict[str, Any] = {}
    finish = ""
    for part in parts:
        usage.update(part.get("usageMetadata") or {})
        if (part.get("promptFeedback") or {}).get("blockReason"):
            meaning.error = "CONTENT_FILTERED"
        for candidate in part.get("candidates") or []:
            if candidate.get("index", 0) != 0:
                continue
            told = candidate.get("finishReason") or finish
            finish = _GOOGLE_NUMBERS.get(told, told)
            for piece in (candidate.get("content") or {}).get("parts") or []:
                _add_gemini_piece(meaning, piece)
            queries = (candidate.get("groundingMetadata") or {}).get("webSearchQueries") or []
            if queries:  # a grounded prompt of Gemini 1 and 2 is charged once
                is_once = str(part.get("modelVersion")).startswith(("gemini-1", "gemini-2"))
                meaning.web_searches = 1 if is_once else len(queries)
    meaning.finish = _FINISH.get(finish, finish) or None
    if meaning.finish == "stop" and meaning.tools:  # Google has no finish word for tools
        meaning.finish = "tool_calls"
    if finish in _GOOGLE_BLOCKS:
        meaning.error = "CONTENT_FILTERED"
    _add_gemini_usage(meaning, usage)
    return meaning


def _add_gemini_usage(meaning: Meaning, usage: Mapping[str, Any]) -> None:
    if "promptTokenCount" in usage:
        meaning.input_tokens = usage["promptTokenCount"] + usage.get("toolUsePromptTokenCount", 0)
    meaning.cached_input_tokens = usage.get("cachedContentTokenCount")
    meaning.reasoning_tokens = usage.get("thoughtsTokenCount")
    if "candidatesTokenCount" in usage:
        meaning.output_tokens = usage["candidatesTokenCount"] + usage.get("thoughtsTokenCount", 0)
    elif "thoughtsTokenCount" in usage:  # thoughts only: the total has nothing else in it
        assert usage["totalTokenCount"] == meaning.input_tokens + usage["thoughtsTokenCount"]
        meaning.output_tokens = usage["thoughtsTokenCount"]
    for name, side in (("promptTokensDetails", "input"), ("candidatesTokensDetails", "output")):
        for entry in usage.get(name) or []:
            if entry["modality"] in ("AUDIO", "IMAGE"):
                kind = entry["modality"].lower()
                setattr(meaning, f"{kind}_{side}_tokens", entry["tokenCount"])


def _add_gemini_piece(meaning: Meaning, piece: Mapping[str, Any]) -> None:
    if "functionCall" in piece:
        call = piece["functionCall"]
        meaning.tools.append((call["name"], call.get("args") or {}))
    elif "text" in piece and piece.get("thought"):
        meaning.reasoning += piece["text"]
    elif "text" in piece:
        meaning.text += piece["text"]
    elif piece.keys() - {"thoughtSignature", "thought"}:
        meaning.has_other = True


def _loads(arguments: str) -> Json:
    """Arguments as a value; text that is no JSON stands for itself, none at all for `{}`."""
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments
