"""Chat completions in OpenAI's form, with what its many imitators do differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toolkit.calls.parsers.parsed_response import (
    ParsedResponse,
    Piece,
    ProviderWords,
    ToolDraft,
    find_error,
)


class OpenAIChatParser:
    """Reads `chat.completion` bodies and `chat.completion.chunk` events."""

    def __init__(self) -> None:
        self.reading = ParsedResponse()

    def take_whole(self, value: Mapping[str, Any]) -> None:
        """Take a whole body."""
        self._take(value, "message")
        self.reading.is_ended = True

    def take_event(self, name: str | None, value: Mapping[str, Any]) -> Sequence[Piece]:
        """Take one chunk."""
        if name == "error" or "error" in value:
            words = find_error(value if value.get("error") else {"error": value})
            if words is not None:
                self.reading.error = words
                return ()
        return self._take(value, "delta")

    def _take(self, value: Mapping[str, Any], part: str) -> Sequence[Piece]:
        reading = self.reading
        choices = value.get("choices")
        if isinstance(choices, list):
            reading.is_recognised = True
        if reading.response_model is None or reading.response_id is None:
            self._take_head(value)
        _take_usage(reading, value)
        if not choices or not isinstance(choices, list):
            reading.is_null = reading.is_null or part == "message"
            return ()
        choice = next((c for c in choices if isinstance(c, dict) and not c.get("index")), None)
        return self._take_choice(choice, part) if choice is not None else ()

    def _take_head(self, value: Mapping[str, Any]) -> None:
        reading = self.reading
        reading.response_model = _text(value.get("model")) or reading.response_model
        reading.response_id = _text(value.get("id")) or reading.response_id
        fingerprint = _text(value.get("system_fingerprint"))
        reading.system_fingerprint = fingerprint or reading.system_fingerprint

    def _take_choice(self, choice: Mapping[str, Any], part: str) -> Sequence[Piece]:
        reading = self.reading
        if isinstance(choice.get("error"), dict):
            reading.error = find_error(choice)
        if finish := choice.get("finish_reason"):
            reading.finish = str(finish)
        message = choice.get(part)
        if message is None:
            message = choice.get("message" if part == "delta" else "delta")
        if not isinstance(message, dict):
            reading.is_recognised = reading.is_recognised and part == "delta"
            return ()
        if part == "message" and message.get("content") is None:
            reading.is_null = True
        pieces = list(self._pieces(message))
        if refusal := message.get("refusal"):
            reading.refusal = (reading.refusal or "") + str(refusal)
        return pieces

    def _pieces(self, message: Mapping[str, Any]) -> Iterator[Piece]:
        reading = self.reading
        thought = message.get("reasoning_content") or message.get("reasoning")
        if thought and isinstance(thought, str):
            reading.reasoning.append(thought)
            yield "reasoning", thought
        content = message.get("content")
        if content:
            yield from self._content(content)
        if tools := message.get("tool_calls"):
            yield from self._tools(tools)
        elif isinstance(function := message.get("function_call"), dict) and any(function.values()):
            yield from self._tools([{"index": 0, "function": function}])  # some send it empty
        audio = message.get("audio")
        if message.get("images") or (isinstance(audio, dict) and audio.get("data")):
            reading.has_other = True

    def _content(self, content: Any) -> Iterator[Piece]:
        """Text, Mistral's list of text and thinking parts, or Cloudflare's JSON answer as JSON."""
        if isinstance(content, dict):
            content = _as_json(content)
        if isinstance(content, str):
            self.reading.text.append(content)
            yield "text", content
            return
        for part in content if isinstance(content, list) else ():
            if not isinstance(part, dict):
                continue
            if part.get("type") == "thinking":
                inner = part.get("thinking")
                parts = inner if isinstance(inner, list) else [{"text": inner}]
                thought = "".join(str(p.get("text") or "") for p in parts if isinstance(p, dict))
                if thought:
                    self.reading.reasoning.append(thought)
                    yield "reasoning", thought
            elif text := part.get("text"):
                self.reading.text.append(str(text))
                yield "text", str(text)
            else:
                self.reading.has_other = True

    def _tools(self, tools: Any) -> Iterator[Piece]:
        drafts = self.reading.tools
        for place, call in enumerate(tools if isinstance(tools, list) else ()):
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict):
                continue
            index = call.get("index")
            index = index if isinstance(index, int) else place
            call_id, name = _text(call.get("id")), _text(function.get("name"))
            held = drafts.get(index)
            # Some servers number every call 0: a new id with a name is a new call.
            if held is not None and call_id and name and held.id not in (None, call_id):
                index = max(drafts) + 1
                held = None
            if held is None:
                held = drafts[index] = ToolDraft(call_id, name or "")
            held.id = held.id or call_id
            held.name = held.name or name or ""
            arguments = function.get("arguments")
            if arguments is not None and not isinstance(arguments, str):
                arguments = _as_json(arguments)
            if arguments:
                held.arguments.append(arguments)
            yield "tool_call", arguments or ""


def _as_json(value: Any) -> str:
    import orjson

    return orjson.dumps(value).decode()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _take_usage(reading: ParsedResponse, value: Mapping[str, Any]) -> None:
    usage = value.get("usage")
    if not usage and isinstance(groq := value.get("x_groq"), dict):
        usage = groq.get("usage")
        if isinstance(error := groq.get("error"), str):
            reading.error = ProviderWords(message=error)
    if not isinstance(usage, dict) or not usage:
        return
    prompt = usage.get("prompt_tokens", usage.get("input_tokens"))
    asked = reading.count("input_tokens", prompt)
    answered = reading.count(
        "output_tokens", usage.get("completion_tokens", usage.get("output_tokens"))
    )
    _take_cached(reading, usage)
    details = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    thought = details.get("reasoning_tokens") if isinstance(details, dict) else None
    thought = usage.get("reasoning_tokens") if thought is None else thought
    reasoned = reading.count("reasoning_tokens", thought)
    # xAI counts reasoning beside the completion, not inside it; its total gives it away.
    beside = (asked or 0) + (answered or 0) + (reasoned or 0)
    if answered and reasoned and usage.get("total_tokens") == beside:
        reading.count("output_tokens", answered + reasoned)
    _take_cost(reading, usage)


def _take_cached(reading: ParsedResponse, usage: Mapping[str, Any]) -> None:
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    if not isinstance(details, dict):
        details = {}
    cached = details.get("cached_tokens")
    for other in ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens"):
        cached = usage.get(other) if cached is None else cached
    reading.count("cached_input_tokens", cached)
    reading.count("cache_write_tokens", details.get("cache_write_tokens"))


def _take_cost(reading: ParsedResponse, usage: Mapping[str, Any]) -> None:
    cost = usage.get("cost")
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    if cost is not None:
        reading.cost(cost)
