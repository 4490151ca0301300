"""Answers in a form that only litellm reads, as the last resort.

litellm's classes read a whole body (`transform_response`) or one decoded event of a stream
(`chunk_parser`), received over our own transport. Their result has OpenAI's form and is read like
any answer in it; the row says `parsed_by=litellm`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from toolkit.calls.adapters.library import load
from toolkit.calls.parsers.parsed_response import Piece, ResponseParser
from toolkit.calls.parsers.styles.openai_chat import OpenAIChatParser
from toolkit.calls.transport.exchange_record import AnswerRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRequest:
    """The request that is answered, as litellm's classes want to see it again.

    Attributes:
        config: the provider's configuration class.
        model, messages, optional, litellm_params: as they were given to it.
        url, body: what was sent.
    """

    config: Any
    model: str
    messages: list[dict[str, Any]]
    optional: dict[str, Any]
    litellm_params: dict[str, Any]
    url: str
    body: Mapping[str, Any]


class LiteLLMParser(ResponseParser):
    """Reads one answer with litellm's class for the provider."""

    def __init__(self, request: ParsedRequest) -> None:
        super().__init__()
        self._request = request
        self._openai = OpenAIChatParser()
        self._chunks: Any = None
        self.reading = self._openai.reading

    def parse_event(self, name: str | None, value: Mapping[str, Any]) -> Sequence[Piece]:
        """Read one decoded event of a stream and return what it adds."""
        if self._chunks is None:
            self._chunks = self._request.config.get_model_response_iterator(
                streaming_response=iter(()), sync_stream=True, json_mode=False
            )
        try:
            chunk = self._chunks.chunk_parser(dict(value))
        except Exception as error:  # noqa: BLE001 - litellm raises anything
            raise AnswerRefused(f"litellm cannot read an event: {type(error).__name__}") from None
        return self._openai.parse_event(None, _as_openai_chunk(chunk))

    def parse_body(self, value: Mapping[str, Any]) -> None:
        """Read a whole body."""
        request, litellm = self._request, load()
        response = httpx.Response(200, json=dict(value), request=httpx.Request("POST", request.url))
        try:
            parsed = request.config.transform_response(
                model=request.model,
                raw_response=response,
                model_response=litellm.ModelResponse(),
                logging_obj=_NoLogging(),
                request_data=dict(request.body),
                messages=request.messages,
                optional_params=request.optional,
                litellm_params=request.litellm_params,
                encoding=None,
                api_key=None,
                json_mode=None,
            )
        except Exception as error:  # noqa: BLE001 - litellm raises anything
            raise AnswerRefused(f"litellm cannot read the body: {type(error).__name__}") from None
        self._openai.parse_body(_without_zero_usage(_plain(parsed)))


class _NoLogging:
    """Stands for litellm's logging object: every method does nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


def _plain(value: Any) -> dict[str, Any]:
    """A pydantic object of litellm's as plain JSON values."""
    dumped = value.model_dump(exclude_none=True) if hasattr(value, "model_dump") else dict(value)
    plain: dict[str, Any] = json.loads(json.dumps(dumped, default=str))
    return plain


def _as_openai_chunk(chunk: Any) -> dict[str, Any]:
    """A chunk in either of litellm's two forms as one of OpenAI's stream."""
    plain = _plain(chunk)
    if "choices" in plain:
        return _without_zero_usage(plain)
    delta: dict[str, Any] = {"content": plain.get("text") or ""}
    if tool := plain.get("tool_use"):
        delta["tool_calls"] = [tool]
    finish = (plain.get("finish_reason") or "stop") if plain.get("is_finished") else None
    converted: dict[str, Any] = {
        "object": "chat.completion.chunk",
        "choices": [{"index": plain.get("index") or 0, "delta": delta, "finish_reason": finish}],
    }
    if usage := plain.get("usage"):
        converted["usage"] = usage
    return _without_zero_usage(converted)


def _without_zero_usage(value: dict[str, Any]) -> dict[str, Any]:
    """litellm fills in zeros where nobody counted."""
    usage = value.get("usage")
    if isinstance(usage, Mapping) and not usage.get("completion_tokens"):
        value.pop("usage")
    return value
