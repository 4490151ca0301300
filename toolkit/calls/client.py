"""A CALL, FROM REQUEST TO ROW: read this file first.

complete / stream / embed    what the caller wants
  -> Pipeline            processors may change or refuse the request     (pipeline/)
  -> Policy              rate limits, retries, circuit breakers, failover (policy/)
  -> Attempt             one HTTP request, one row                       (attempt.py)
  -> adapters            write the request in the provider's API         (adapters/)
  -> Guard               sends it: timestamps, bounds, deadlines         (transport/)
  -> StreamParser, parsers read the answer                                 (parsers/)
  -> CallRecorder        writes the row, then returns the reply          (recorder.py)
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from traceback import clear_frames
from typing import TYPE_CHECKING, Any, TypeVar

from toolkit.calls.adapters import warm
from toolkit.calls.adapters.identities import Identities
from toolkit.calls.attempt import Attempt, AttemptDeps
from toolkit.calls.attempt_spec import AttemptSpec
from toolkit.calls.parsers.parsed_response import ToolDraft
from toolkit.calls.parsers.stream_parser import Delta, Offer
from toolkit.calls.pipeline import Pipeline, PipelineRun
from toolkit.calls.policy.admission import BreakerState
from toolkit.calls.policy.call_policy import Policy, Target
from toolkit.calls.policy.rate_limiter import Limiter, RateLimit, RateLimiter
from toolkit.calls.recorder import CallRecorder
from toolkit.calls.reply_stream import ReplyStream
from toolkit.calls.stream_buffer import Answering, Progress
from toolkit.calls.transport.connections import Sessions
from toolkit.errors import BudgetExceeded, CallError, ModelNotFound, ProviderNotFound, ToolkitError
from toolkit.pricing.price import Prices, PricesFor
from toolkit.records import Call, ChatRequest, Embedding, Reply
from toolkit.secret import Secret
from toolkit.settings import Settings

if TYPE_CHECKING:
    from toolkit.keys.service import ResolvedKey
    from toolkit.providers.provider import Provider

__all__ = ["Client", "Delta", "Progress", "ReplyStream"]

T = TypeVar("T")


class Client:
    """The call path of one toolkit.

    Args:
        settings: deadlines, recording policy, proxy.
        resolve: `"provider/model_id"` -> (provider, model_id); raises what is wrong with it.
        key_for: (provider, explicit key) -> the key in use, or None.
        record: acknowledges one row; called once per attempt.
        prices_for: (provider, model_id, moment) -> what it costs.
        window_of: context window of a target in tokens, where it is known.
        processors: what every request passes, in order.
        expand: (request, keep its first model first) -> the request with models in place of the
            names of failover chains.
        prepare: awaited with each model's name before it is resolved (a local server starts).
        find_limiter: keeps the rate limits elsewhere, for a process that shares them with others;
            None: in this client.
        trace_headers: ids of a request and of its attempt -> headers that name the attempt's
            span to the provider.
        similar: models whose names are like that of one that does not exist; the hint names them.
    """

    def __init__(  # noqa: PLR0913 - keyword by keyword, each with a meaning of its own
        self,
        settings: Settings,
        resolve: Callable[[str], tuple[Provider, str]],
        key_for: Callable[[Provider, Secret | None], ResolvedKey | None],
        record: Callable[[Call], None],
        *,
        prices_for: PricesFor = lambda provider, model_id, at: Prices(),
        window_of: Callable[[Target], int | None] = lambda target: None,
        processors: Iterable[Any] = (),
        expand: Callable[[ChatRequest, bool], ChatRequest] = lambda request, keep_first: request,
        prepare: Callable[[str], Awaitable[None]] | None = None,
        find_limiter: Callable[[RateLimit], Limiter] | None = None,
        trace_headers: Callable[[str, str], Mapping[str, str]] = lambda request_id, call_id: {},
        similar: Callable[[str], Sequence[str]] = lambda model: (),
    ) -> None:
        self._resolve = resolve
        self._expand = expand
        self._prepare = prepare
        self._similar = similar
        self.ledger: CallRecorder = CallRecorder(record, settings.recording, prices_for)
        self.pipeline: Pipeline = Pipeline(processors)
        self._policy = Policy(settings, key_for, window_of, find_limiter=find_limiter)
        self._sessions = Sessions(settings.proxy)
        self._tools = AttemptDeps(
            settings=settings,
            sessions=self._sessions,
            ledger=self.ledger,
            identities=Identities(settings),
            trace_headers=trace_headers,
        )

    async def complete(self, request: ChatRequest, api_key: Secret | None = None) -> Reply:
        """Send a request and wait for the whole reply.

        Raises:
            ToolkitError: what went wrong; every attempt has its row.
        """
        async with self._suggesting(request.model):
            run, made = await self._enter(request, api_key), list[Attempt]()
            with _cleared_frames(), run.passing(lambda: _rows(made)):
                return run.finish(await self._with_policy(run, api_key, Attempt.run, made))

    async def embed(self, request: ChatRequest, api_key: Secret | None = None) -> Embedding:
        """Request the vectors of the request's `inputs`; its `operation` is `embeddings`.

        Raises:
            ToolkitError: what went wrong; every attempt has its row.
        """
        return Embedding.of(await self.complete(request, api_key))

    def stream(self, request: ChatRequest, api_key: Secret | None = None) -> ReplyStream:
        """Request a stream; it starts with the first `await` on it (or at once in a loop)."""
        return ReplyStream(request, lambda: self._open(request, api_key))

    async def _open(self, request: ChatRequest, api_key: Secret | None) -> OpenStream:
        async with self._suggesting(request.model):
            run, made = await self._enter(request, api_key), list[Attempt]()
            with _cleared_frames(), run.passing(lambda: _rows(made)):
                return OpenStream(await self._with_policy(run, api_key, Attempt.open, made), run)

    @asynccontextmanager
    async def _suggesting(self, model: str) -> AsyncIterator[None]:
        """Name models that may be meant in the error of one that does not exist."""
        try:
            yield
        except (ModelNotFound, ProviderNotFound) as error:
            found: Sequence[str] = ()
            with suppress(ToolkitError):  # the database may be busy; the error is the call's
                found = await asyncio.to_thread(self._similar, error.model or model)
            if near := [name for name in found if name != (error.model or model)]:
                others = "`toolkit models list` shows all."
                rest = error.hint if isinstance(error, ModelNotFound) else others
                error.hint = f"Did you mean {' or '.join(near)}? {rest}"
            raise

    async def _enter(self, request: ChatRequest, api_key: Secret | None) -> PipelineRun:
        """Prepare every model of the chain, then run the processors."""
        request = self._expand(request, api_key is not None)
        if self._prepare is not None:
            for model in (request.model, *request.fallbacks):
                await self._prepare(model)
        return self.pipeline.enter(request)

    async def _with_policy(
        self,
        run: PipelineRun,
        api_key: Secret | None,
        act: Callable[[Attempt], Awaitable[T]],
        made: list[Attempt],
    ) -> T:
        """Make attempts until one succeeds; `made` gets each of them."""
        request = run.request

        def make(this: AttemptSpec) -> Awaitable[T]:
            if this.earlier:
                run.retrying(this.earlier)
            made.append(Attempt(self._tools, this))
            return act(made[-1])

        chain = [self._target(model) for model in (request.model, *request.fallbacks)]
        await warm(chain[0].provider.type)  # its seconds do not count against the deadline
        return await self._policy.run(request, chain, make, api_key)

    def _target(self, model: str) -> Target:
        provider, model_id = self._resolve(model)
        return Target(provider=provider.for_model(model_id), model_id=model_id)

    def breaker_states(self) -> dict[str, BreakerState]:
        """State of the circuit breaker of each `provider/model` that was called."""
        return self._policy.breaker_states()

    def limiter(self, limit: RateLimit) -> RateLimiter:
        """The limiter that keeps this rate limit for the whole process."""
        return self._policy.limiter(limit)

    async def aclose(self) -> None:
        """Close the running loop's connections."""
        await self._sessions.aclose()


@contextmanager
def _cleared_frames() -> Iterator[None]:
    """Clear the variables of the frames that the error of a call has passed.

    A traceback that shows local variables would show the provider's words as they came: headers
    and body before their redaction.
    """
    try:
        yield
    except CallError as error:
        clear_frames(error.__traceback__)
        raise


def _rows(made: Sequence[Attempt]) -> Sequence[Call]:
    """The rows of a request that was given up."""
    return made[-1].calls if made else ()


class TextWatch:
    """Shows the text of a stream to the processors that want to see it."""

    def __init__(self, run: PipelineRun) -> None:
        self._run = run
        self._hooks = run.find_text_hooks()
        self._refusal: Exception | None = None
        self._is_shown = False

    def show(self, batch: list[Delta]) -> None:
        """Show one batch, unless it was shown when it was offered.

        Raises:
            ToolkitError: a processor ends the stream.
        """
        if self._refusal is not None:
            raise self._refusal
        is_shown, self._is_shown = self._is_shown, False
        if self._hooks and not is_shown:
            text = "".join(delta.text for delta in batch)
            for hook in self._hooks:
                hook(self._run.request, text)

    def wrap(self, offer: Offer | None) -> Offer | None:
        """`offer`, which shows each batch first; what a processor raises is raised by `show`."""
        if offer is None or not self._hooks:
            return offer

        def offer_shown(batch: list[Delta]) -> bool:
            try:
                self.show(batch)
            except Exception as error:  # noqa: BLE001 - raised by `show`, where the stream is read
                self._refusal = error
                return False
            is_taken = offer(batch)
            self._is_shown = not is_taken
            return is_taken

        return offer_shown


class OpenStream:
    """A stream whose first piece has come, and its way back through the pipeline."""

    def __init__(self, attempt: Attempt, run: PipelineRun) -> None:
        self._attempt, self._run = attempt, run
        self.reply: Reply | None = None

    @property
    def answering(self) -> Answering:
        """Who answers."""
        attempt = self._attempt
        this = attempt.this
        return Answering(model=this.model, call_id=attempt.call_id, attempts=this.number)

    @property
    def tools(self) -> Mapping[int, ToolDraft]:
        """Tool calls by the provider's index, as far as they have come."""
        return self._attempt.reading.tools

    def note_held_back(self) -> None:
        """Have the row say that its later times are the reader's."""
        self._attempt.reading.flags.add("held_back")

    async def deltas(self, offer: Offer | None = None) -> AsyncGenerator[list[Delta]]:
        """The pieces, in the batches in which they arrived; `reply` is there after the last.

        A processor that reads the text of a stream gets each batch before the next one is read.
        """
        attempt, watch = self._attempt, TextWatch(self._run)
        with self._run.passing(lambda: attempt.calls):
            try:
                async with aclosing(attempt.deltas(watch.wrap(offer))) as batches:
                    async for batch in batches:
                        yield batch
                        watch.show(batch)
            except BudgetExceeded as error:
                error.attempts = tuple(attempt.calls)
                error.partial_text = "".join(attempt.reading.text)
                raise
            if attempt.reply is not None:
                self.reply = self._run.finish(attempt.reply)
        self._run.leave(attempt.calls)
