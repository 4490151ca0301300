"""Processors around a call, in order: each may change the request, refuse it, or read the reply.

Going in, `before` runs first to last, and `before_retry` ahead of each further attempt; coming
out, `after` (of an answer) or `on_error` (of a failure) runs last to first. `ended` runs for every
processor whose `before` ran, whatever happened, so that what was reserved is given back. A
processor is any object with some of these methods; `Processor` has all of them, doing nothing:

    class Calm(Processor):
        def before(self, request):
            return dataclasses.replace(request, params={**request.params, "temperature": 0})

The built-in ones are at the end: limits, redaction, default parameters, templates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from toolkit.errors import CallError, ContextWindowExceeded
from toolkit.pricing.token_estimate import estimate_tokens
from toolkit.records import Call, ChatRequest, Message, Reply

if TYPE_CHECKING:
    from toolkit.providers.provider import Provider


class Processor:
    """What a processor may do; take what you need."""

    def before(self, request: ChatRequest) -> ChatRequest:
        """The request as it shall go on; raise a `ToolkitError` to refuse it."""
        return request

    def before_retry(self, request: ChatRequest, attempts: Sequence[Call]) -> None:
        """`attempts` have failed and another is to be made; raise a `CallError` to refuse it."""

    def after(self, request: ChatRequest, reply: Reply) -> Reply:
        """The reply as it shall go back. A stream's pieces were shown by then."""
        return reply

    def on_error(self, request: ChatRequest, error: CallError) -> None:
        """The request failed with this error."""

    def on_text(self, request: ChatRequest, text: str) -> None:
        """A piece of a streamed answer came; raise a `CallError` to end the stream."""

    def ended(self, request: ChatRequest, attempts: Sequence[Call]) -> None:
        """The request is over, whatever came of it; `attempts` are its rows."""


class Pipeline:
    """The processors of one client, in order."""

    def __init__(self, processors: Iterable[Any] = ()) -> None:
        self.processors: tuple[Any, ...] = tuple(processors)

    def enter(self, request: ChatRequest) -> PipelineRun:
        """Run `before` of every processor.

        Raises:
            ToolkitError: a processor refuses; those before it have `ended`.
        """
        run = PipelineRun(request)
        try:
            for processor in self.processors:
                before = getattr(processor, "before", None)
                if before is not None:
                    run.request = before(run.request)
                run.entered.append(processor)
        except BaseException:  # what was entered is left, also on Ctrl+C
            run.leave(())
            raise
        return run


class PipelineRun:
    """One request on its way through the pipeline.

    Attributes:
        request: the request as the processors left it.
        entered: processors that it has passed.
    """

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self.entered: list[Any] = []

    def find_text_hooks(self) -> list[Callable[[ChatRequest, str], None]]:
        """Return the `on_text` of every processor that has one."""
        hooks = (getattr(processor, "on_text", None) for processor in self.entered)
        return [hook for hook in hooks if hook is not None]

    def retrying(self, attempts: Sequence[Call]) -> None:
        """Run `before_retry` of every processor.

        Raises:
            CallError: a processor refuses another attempt.
        """
        for processor in self.entered:
            before_retry = getattr(processor, "before_retry", None)
            if before_retry is not None:
                before_retry(self.request, attempts)

    @contextmanager
    def passing(self, rows: Callable[[], Sequence[Call]] = tuple) -> Iterator[None]:
        """Run the call in the block; whatever goes wrong in it ends the run.

        `rows` returns those of a request that is given up; an error has its own.
        """
        try:
            yield
        except CallError as error:
            self.fail(error)
            raise
        except BaseException:  # a cancelled call leaves its processors, too
            self.leave(rows())
            raise

    def finish(self, reply: Reply) -> Reply:
        """Run `after` of every processor, last one first, and leave."""
        try:
            for processor in reversed(self.entered):
                after = getattr(processor, "after", None)
                if after is not None:
                    reply = after(self.request, reply)
        finally:
            self.leave(reply.attempts)
        return reply

    def fail(self, error: CallError) -> None:
        """Run `on_error` of every processor, last one first, and leave."""
        try:
            for processor in reversed(self.entered):
                on_error = getattr(processor, "on_error", None)
                if on_error is not None:
                    on_error(self.request, error)
        finally:
            self.leave(error.attempts)

    def leave(self, attempts: Sequence[Call]) -> None:
        """Call `ended` of every processor with the rows of the request, once."""
        while self.entered:
            ended = getattr(self.entered.pop(), "ended", None)
            if ended is not None:
                ended(self.request, attempts)


# Fields of a message that hold names and addresses, not text.
_SYSTEM_ROLES: Final = ("system", "developer")
_NOT_TEXT: Final = frozenset({"role", "type", "id", "tool_call_id", "image_url", "input_audio"})


@dataclass(frozen=True, slots=True)
class InputTokenLimit:
    """Refuses a request whose input is longer than about `max_tokens` tokens."""

    max_tokens: int

    def before(self, request: ChatRequest) -> ChatRequest:
        """Raises: ContextWindowExceeded: it is longer."""
        _require_short(request, self.max_tokens)
        return request


class Redaction:
    """Replaces what matches a pattern in every text, before it is sent and stored.

    That is the text of every message, part and tool call, and the texts to embed.

    Args:
        patterns: regular expressions, with what to put in place of each match.
    """

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._patterns = [(re.compile(p), put) for p, put in patterns.items()]

    def before(self, request: ChatRequest) -> ChatRequest:
        """The request with every match replaced."""
        messages = tuple(self._clean(message) for message in request.messages)
        inputs = tuple(self._clean(text) for text in request.inputs)
        return replace(request, messages=messages, inputs=inputs)

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            for pattern, put in self._patterns:
                value = pattern.sub(put, value)
            return value
        if isinstance(value, Mapping):
            return {
                key: inner if key in _NOT_TEXT else self._clean(inner)
                for key, inner in value.items()
            }
        if isinstance(value, Sequence) and not isinstance(value, bytes):
            return [self._clean(inner) for inner in value]
        return value


@dataclass(frozen=True, slots=True)
class DefaultParams:
    """Gives every request parameters that it does not set itself."""

    params: Mapping[str, Any]

    def before(self, request: ChatRequest) -> ChatRequest:
        """The request with the missing parameters; they are those of a conversation."""
        if request.operation != "chat":
            return request
        return replace(request, params={**self.params, **request.params})


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """Puts text around the user's messages, or a system prompt before them, for one provider.

    Attributes:
        provider: name of the provider; None for all.
        user: form of each user text, with `{text}` in its place.
        system: system prompt where the conversation has none.
    """

    provider: str | None = None
    user: str = "{text}"
    system: str | None = None

    def before(self, request: ChatRequest) -> ChatRequest:
        """The request in the form of the template."""
        if self.provider not in (None, request.model.partition("/")[0]):
            return request
        messages = [self._fill(message) for message in request.messages]
        if self.system and not any(message["role"] in _SYSTEM_ROLES for message in messages):
            messages.insert(0, {"role": "system", "content": self.system})
        return replace(request, messages=tuple(messages))

    def _fill(self, message: Message) -> Message:
        content = message.get("content")
        if message["role"] != "user" or not isinstance(content, str):
            return message
        return {**message, "content": self.user.replace("{text}", content)}


def for_provider(request: ChatRequest, provider: Provider) -> ChatRequest:
    """The request with what a provider's entry sets for its calls.

    Its parameters and its system prompt apply where the request has none of its own; its
    template is put around each user text.

    Raises:
        ContextWindowExceeded: the input is longer than the provider's `max_input_tokens`.
    """
    if request.operation != "chat":  # all of these are settings of a conversation
        return request
    if provider.params:
        request = DefaultParams(provider.params).before(request)
    if provider.system_prompt or provider.prompt_template:
        template = PromptTemplate(
            user=provider.prompt_template or "{text}", system=provider.system_prompt
        )
        request = template.before(request)
    if provider.max_input_tokens:
        _require_short(request, provider.max_input_tokens, provider)
    return request


def _require_short(request: ChatRequest, limit: int, provider: Provider | None = None) -> None:
    """Raises: ContextWindowExceeded: the input is longer than about `limit` tokens."""
    texts = [{"content": text} for text in request.inputs]
    tokens = estimate_tokens([*request.messages, *texts])
    if tokens <= limit:
        return
    raise ContextWindowExceeded(
        f"the input has about {tokens:,} tokens and the limit set "
        f"{f'for {provider.name}' if provider else 'here'} is {limit:,}",
        provider=provider.name if provider else None,
        model=request.model,
        request_id=request.request_id,
        blame="policy",
        cause="own_limit",
        hint="Shorten the input, or raise `max_input_tokens` of the provider."
        if provider
        else "Shorten the input or raise the limit.",
    )
