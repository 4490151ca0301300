"""generateContent answers in Google's form, whole and as a stream of the same bodies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from toolkit.calls.parsers.parsed_response import ParsedResponse, Piece, ToolDraft, find_error

_NOT_CONTENT = {"thought", "thoughtSignature", "thought_signature"}
# Vertex AI may write enumerations as numbers.
_FINISH_NUMBERS = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}


class GeminiParser:
    """Reads `GenerateContentResponse`, of which a stream has many."""

    def __init__(self) -> None:
        self.reading = ParsedResponse()

    def take_whole(self, value: Mapping[str, Any]) -> None:
        """Take a whole body."""
        self._take(value)
        self.reading.is_null = self.reading.is_null or not value.get("candidates")
        self.reading.is_ended = True

    def take_event(self, name: str | None, value: Mapping[str, Any]) -> Sequence[Piece]:
        """Take one event; the end of the stream is the end of the body."""
        if "error" in value:
            self.reading.error = find_error(value)
            return ()
        return self._take(value)

    def _take(self, value: Mapping[str, Any]) -> Sequence[Piece]:
        reading = self.reading
        reading.response_model = value.get("modelVersion") or reading.response_model
        reading.response_id = value.get("responseId") or reading.response_id
        self._take_usage(value.get("usageMetadata"))
        feedback = value.get("promptFeedback")
        if isinstance(feedback, dict) and (reason := feedback.get("blockReason")):
            reading.is_recognised = True
            words = feedback.get("blockReasonMessage") or f"the prompt was blocked: {reason}"
            reading.refusal = str(words)
        candidates = value.get("candidates")
        if not isinstance(candidates, list):
            return ()
        reading.is_recognised = True
        candidate = next(
            (c for c in candidates if isinstance(c, dict) and not c.get("index")), None
        )
        return self._take_candidate(candidate) if candidate is not None else ()

    def _take_candidate(self, candidate: Mapping[str, Any]) -> Sequence[Piece]:
        if finish := candidate.get("finishReason"):
            self.reading.finish = _FINISH_NUMBERS.get(finish) or str(finish)
        content = candidate.get("content")
        if "content" in candidate and not isinstance(content, dict):
            self.reading.is_null = True
        parts = content.get("parts") if isinstance(content, dict) else None
        return list(self._pieces(parts)) if isinstance(parts, list) else ()

    def _pieces(self, parts: Sequence[Any]) -> Iterator[Piece]:
        reading = self.reading
        for part in parts:
            if not isinstance(part, dict):
                continue
            if isinstance(function := part.get("functionCall"), dict):
                arguments = orjson.dumps(function.get("args") or {}).decode()
                draft = ToolDraft(function.get("id"), str(function.get("name") or ""), [arguments])
                reading.tools[len(reading.tools)] = draft
                yield "tool_call", arguments
            elif isinstance(text := part.get("text"), str):
                if text and part.get("thought"):
                    reading.reasoning.append(text)
                    yield "reasoning", text
                elif text:
                    reading.text.append(text)
                    yield "text", text
            elif part.keys() - _NOT_CONTENT:
                reading.has_other = True

    def _take_usage(self, usage: Any) -> None:
        """Input is prompt plus tool-use prompt; output is candidates plus thoughts.

        Tokens of thoughts are given beside the candidates' and are left out when zero; a
        missing candidates count stays unknown.
        """
        if not isinstance(usage, dict):
            return
        reading = self.reading
        prompt = reading.count("input_tokens", usage.get("promptTokenCount"))
        tool_prompt = reading.count("input_tokens", usage.get("toolUsePromptTokenCount"))
        if tool_prompt is not None:
            reading.flags.add("tool_use_prompt_tokens")
        if prompt is not None:
            reading.count("input_tokens", prompt + (tool_prompt or 0))
        reading.count("cached_input_tokens", usage.get("cachedContentTokenCount"))
        thoughts = reading.count("reasoning_tokens", usage.get("thoughtsTokenCount"))
        answered = reading.count("output_tokens", usage.get("candidatesTokenCount"))
        if answered is not None:
            reading.count("output_tokens", answered + (thoughts or 0))
