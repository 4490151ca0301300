"""OpenAI's older text completions, answered by chat models: the prompt is the user's message."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from toolkit.api.formats.answer import answers_of
from toolkit.api.formats.chat_format import EVENT_STREAM, event, usage_json
from toolkit.api.formats.error_format import ErrorFormat, body_of
from toolkit.api.formats.model_request import (
    ModelRequest,
    collect_labels,
    model_params,
)
from toolkit.api.formats.token_arrays import decode_tokens
from toolkit.api.formats.unsupported_parameters import UnsupportedPolicy
from toolkit.calls.parsers.parsed_response import ToolDraft
from toolkit.calls.parsers.stream_parser import Delta
from toolkit.errors import InvalidInput, ToolkitError
from toolkit.records import Reply, Usage

MAX_PROMPTS = 32
Tokens = Annotated[list[int], Field(min_length=1, max_length=200_000)]


class CompletionBody(BaseModel):
    """The body of `POST /v1/completions`; unlisted fields go to the provider as they are."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    model: str = Field(min_length=1, max_length=512, examples=["local/smollm2-135m"])
    prompt: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS)]
        | Tokens
        | Annotated[list[Tokens], Field(min_length=1, max_length=MAX_PROMPTS)]
    )
    stream: bool | None = None
    stream_options: dict[str, bool | None] | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = Field(None, ge=1, le=20)
    n: int | None = Field(None, ge=1, le=128)
    logprobs: int | None = Field(None, ge=0, le=20)
    user: str | None = Field(None, max_length=512)
    on_unsupported: UnsupportedPolicy | None = None

    def prompts(self) -> list[str]:
        """Every prompt as a text.

        Raises:
            InvalidInput: token numbers cannot be decoded.
        """
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [decode_tokens(self.prompt)]
        return [p if isinstance(p, str) else decode_tokens(p) for p in self.prompt]

    def to_requests(self) -> list[ModelRequest]:
        """One request for each prompt.

        Raises:
            InvalidInput: a field cannot be had from a chat model.
        """
        if self.suffix:
            raise InvalidInput("`suffix` is not supported: a chat model cannot fill in the middle")
        if (self.best_of or 1) > (self.n or 1):
            raise InvalidInput("`best_of` above `n` is not supported; use `n`")
        own = {"prompt", "echo", "suffix", "best_of", "user", "on_unsupported", "logprobs"}
        fields = self.model_dump(exclude=own, exclude_none=True) | (self.model_extra or {})
        if self.logprobs is not None:
            fields |= {"logprobs": True, "top_logprobs": self.logprobs}
        first = ModelRequest(
            model=self.model,
            messages=[],
            params=model_params(fields),
            stream=bool(self.stream),
            with_usage=bool((self.stream_options or {}).get("include_usage")),
            labels=collect_labels(self.user),
            on_unsupported=self.on_unsupported,
        )
        if first.stream and len(self.prompts()) > 1:
            raise InvalidInput("a stream takes one prompt; send one request for each")
        return [replace(first, messages=[_user(prompt)]) for prompt in self.prompts()]


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


class CompletionFormat:
    """Writes text completions for one request."""

    errors: ErrorFormat = "openai"
    media_type = EVENT_STREAM

    def __init__(self, body: CompletionBody, request: ModelRequest) -> None:
        self._request = request
        self._echo = str(request.messages[0]["content"]) if body.echo else ""

    def whole(self, reply: Reply) -> dict[str, Any]:
        """A whole reply as a `text_completion`."""
        return join_completions([reply], [self._echo])

    def writer(self, call_id: str, model: str) -> TextWriter:
        """The writer of the chunks."""
        return TextWriter(call_id, model, echo=self._echo, with_usage=self._request.with_usage)


def join_completions(replies: list[Reply], echoes: list[str]) -> dict[str, Any]:
    """The replies to several prompts as one `text_completion`."""
    choices: list[dict[str, Any]] = []
    for reply, echo in zip(replies, echoes, strict=True):
        for answer in answers_of(reply):
            choices.append(
                {
                    "text": echo + answer.text,
                    "index": len(choices),
                    "finish_reason": answer.finish_reason,
                    "logprobs": _logprobs(answer.logprobs),
                }
            )
    return {
        "id": f"cmpl-{replies[0].call_id}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": replies[0].model,
        "choices": choices,
        "usage": usage_json(_sum_usage(replies)),
    }


def _sum_usage(replies: list[Reply]) -> Usage:
    def total(name: str) -> int | None:
        counts = [getattr(reply.usage, name) for reply in replies]
        return None if None in counts else sum(counts)

    return Usage(input_tokens=total("input_tokens"), output_tokens=total("output_tokens"))


def _logprobs(tokens: Any) -> dict[str, Any] | None:
    if not tokens:
        return None
    offsets, at = [], 0
    for token in tokens:
        offsets.append(at)
        at += len(token.get("token", ""))
    return {
        "tokens": [token.get("token", "") for token in tokens],
        "token_logprobs": [token.get("logprob") for token in tokens],
        "top_logprobs": [
            {top["token"]: top["logprob"] for top in token.get("top_logprobs") or ()}
            for token in tokens
        ],
        "text_offset": offsets,
    }


class TextWriter:
    """Writes the server-sent events of one streamed text completion."""

    def __init__(self, call_id: str, model: str, *, echo: str, with_usage: bool) -> None:
        self._head = {
            "id": f"cmpl-{call_id}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        self._echo, self._with_usage = echo, with_usage

    def _chunk(self, text: str, finish_reason: str | None = None) -> bytes:
        choice = {"text": text, "index": 0, "finish_reason": finish_reason, "logprobs": None}
        return event({**self._head, "choices": [choice]})

    def start(self) -> bytes:
        """The prompt again, where it is wanted."""
        return self._chunk(self._echo) if self._echo else b""

    def piece(self, delta: Delta, tools: Mapping[int, ToolDraft]) -> bytes:
        """One piece of text; this format has no reasoning."""
        return self._chunk(delta.text) if delta.kind == "text" else b""

    def end(self, reply: Reply) -> bytes:
        """The finish, the usage if it is wanted, `[DONE]`."""
        parts = [self._chunk("", reply.finish_reason)]
        if self._with_usage:
            parts.append(event({**self._head, "choices": [], "usage": usage_json(reply.usage)}))
        return b"".join([*parts, b"data: [DONE]\n\n"])

    def failed(self, error: ToolkitError) -> bytes:
        """An error inside the stream."""
        return event(body_of(error, "openai"))
