"""Answers in a form that only litellm reads, as the last resort.

litellm's classes read a whole body (`transform_response`) or one decoded event of a stream
(`chunk_parser`), received over our own transport. Their result has OpenAI's form and is read like
any answer in it; the row says `parsed_by=litellm`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import httpx

from toolkit.calls.adapters.library import load
from toolkit.calls.parsers.parsed_response import ParsedResponse, Piece, ResponseParser
from toolkit.calls.parsers.styles.openai_chat import OpenAIChatParser
from toolkit.calls.transport.exchange_record import AnswerRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRequest:
    """The request that is answered, as litellm's classes want to see it again.

    Attributes:
        provider: litellm's name of the provider.
        config: the provider's configuration class.
        model, messages, optional, litellm_params: as they were given to it.
        url, body: what was sent.
    """

    provider: str
    config: Any
    model: str
    messages: list[dict[str, Any]]
    optional: dict[str, Any]
    litellm_params: dict[str, Any]
    url: str
    body: Mapping[str, Any]


class LiteLLMParser(ResponseParser):
    """Reads one answer with litellm's class for the provider."""

    has_list_bodies: ClassVar[bool] = True

    def __init__(self, request: ParsedRequest) -> None:
        super().__init__()
        self._request = request
        self._openai = OpenAIChatParser()
        self._chunks: Any = None
        self.reading: ParsedResponse = self._openai.reading

    def parse_event(self, name: str | None, value: Mapping[str, Any]) -> Sequence[Piece]:
        """Read one decoded event of a stream and return what it adds."""
        if name == "error" or value.get("error"):
            return self._openai.parse_event("error", value)
        try:
            chunk = self._read_chunk(dict(value))
        except Exception as error:  # noqa: BLE001 - litellm raises anything
            raise AnswerRefused(f"litellm cannot read an event: {type(error).__name__}") from None
        return self._openai.parse_event(None, chunk)

    def _read_chunk(self, value: dict[str, Any]) -> dict[str, Any]:
        """One event in OpenAI's form."""
        if self._request.provider == "oci":
            return self._read_oracle_chunk(value)
        if self._request.provider == "sap":  # OpenAI's chunks inside the results of modules
            inner = value.get("final_result") or value.get("orchestration_result") or value
            return _without_zero_usage(dict(inner)) if "choices" in inner else {"choices": []}
        if self._chunks is None:
            self._chunks = self._request.config.get_model_response_iterator(
                streaming_response=iter(()), sync_stream=True, json_mode=False
            )
        return _as_openai_chunk(self._chunks.chunk_parser(value))

    def _read_oracle_chunk(self, value: dict[str, Any]) -> dict[str, Any]:
        """One event of Oracle Cloud, whose class has no iterator over decoded events."""
        from litellm.llms.oci.chat.cohere import handle_cohere_stream_chunk
        from litellm.llms.oci.chat.generic import handle_generic_stream_chunk

        if value.get("apiFormat") != "COHERE":
            return _as_openai_chunk(handle_generic_stream_chunk(value))
        reading = self.reading
        chunk = handle_cohere_stream_chunk(
            value,
            prior_tool_calls_emitted=bool(reading.tools),
            prior_text_emitted=bool(reading.text),
        )
        return _as_openai_chunk(chunk)

    def finish(self) -> Sequence[Piece]:
        """What belongs to the whole answer."""
        return self._openai.finish()

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
        answer = _without_zero_usage(_plain(parsed))
        if not _counts_tokens(value):
            answer.pop("usage", None)  # litellm's own estimate
        self._openai.parse_body(answer)


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


def _counts_tokens(value: Any, depth: int = 6) -> bool:
    """Whether a body says anywhere how many tokens were used."""
    if isinstance(value, Mapping):
        return any(
            ("token" in name.lower() and isinstance(inner, int | float))
            or _counts_tokens(inner, depth - 1)
            for name, inner in value.items()
            if depth
        )
    return isinstance(value, list) and any(_counts_tokens(v, depth - 1) for v in value if depth)


def _without_zero_usage(value: dict[str, Any]) -> dict[str, Any]:
    """litellm fills in zeros for unknown counts."""
    usage = value.get("usage")
    if isinstance(usage, Mapping) and not usage.get("completion_tokens"):
        value.pop("usage")
    return value
