"""Rows for existing litellm code: what litellm's callbacks report, best-effort and marked.

litellm reports a finished call after the fact, on threads of its own or in tasks that end with
their event loop, sometimes twice and sometimes not at all (an abandoned stream). Its timing and
usage are taken as they are, and the row says so: `recorded_by="callback"`, flag
`as_litellm_says`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final

from toolkit.calls.adapters.library import load, version
from toolkit.calls.parsers.error_classes import clean_words
from toolkit.errors import (
    AuthenticationFailed,
    CallError,
    ConnectionFailed,
    ContentFiltered,
    ContextWindowExceeded,
    InvalidRequest,
    MalformedResponse,
    ModelNotFound,
    PermissionDenied,
    RateLimited,
    RequestTimeout,
    ServerError,
    StreamInterrupted,
    ToolkitError,
)
from toolkit.records import Call, Status
from toolkit.version import __version__

_log = logging.getLogger("toolkit")
_REMEMBERED: Final = 10_000
_FLUSH_S: Final = 10.0

# litellm's class -> ours, where the status says less than the class.
_BY_CLASS: Final[Mapping[str, type[CallError]]] = {
    "APIConnectionError": ConnectionFailed,
    "APIResponseValidationError": MalformedResponse,
    "ContentPolicyViolationError": ContentFiltered,
    "ContextWindowExceededError": ContextWindowExceeded,
    "JSONSchemaValidationError": MalformedResponse,
    "MidStreamFallbackError": StreamInterrupted,
    "Timeout": RequestTimeout,
}
_BY_STATUS: Final[Mapping[int, type[CallError]]] = {
    401: AuthenticationFailed,
    403: PermissionDenied,
    404: ModelNotFound,
    408: RequestTimeout,
    429: RateLimited,
}


def watch(record: Callable[[Call], None]) -> Callable[[], None]:
    """Record every litellm call of this process that is not ours.

    Args:
        record: acknowledges one row.

    Returns:
        A function that stops watching.
    """
    litellm = load()
    watcher = _make_watcher(record)
    litellm.callbacks.append(watcher)
    _report_at_once()

    def stop() -> None:
        # litellm copies its callbacks into several lists when they first run.
        names = ("callbacks", "success_callback", "failure_callback", "input_callback")
        lists = (*names, *(f"_async_{name}" for name in names[1:]))
        for name in lists:
            held = getattr(litellm, name, None)
            while isinstance(held, list) and watcher in held:
                held.remove(watcher)

    return stop


class _ReportedCalls:
    """Writes each call that litellm reports once."""

    def __init__(self, record: Callable[[Call], None]) -> None:
        self._record = record
        self._since = time.time()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, kwargs: Mapping[str, Any], status: Status) -> None:
        """Write the row of one call, unless it was written before."""
        summary = kwargs.get("standard_logging_object")
        if not isinstance(summary, Mapping) or not self._is_new(summary):
            return
        ended = _number(summary.get("endTime"))
        if ended is not None and ended < self._since:
            return  # litellm carries reports over from loops that ended before we watched
        try:
            self._record(_build_call(summary, status))
        except (ToolkitError, OSError, sqlite3.Error) as error:
            _log.warning("a watched litellm call was not recorded: %s", error)

    def _is_new(self, summary: Mapping[str, Any]) -> bool:
        call_id = str(summary.get("litellm_call_id") or summary.get("id"))
        with self._lock:
            if call_id in self._known:
                return False
            self._known[call_id] = None
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
            return True


class _LoopEnds:
    """Has litellm deliver its reports before an event loop ends.

    litellm reports asynchronous calls from a task of its own, which `asyncio.run` cancels with
    the reports still waiting. Asynchronous generators are closed after that, while the loop
    still runs; one such generator for each loop waits for the reports.
    """

    def __init__(self) -> None:
        self._guards: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None]] = (
            weakref.WeakKeyDictionary()
        )

    def guard(self) -> None:
        """Guard the running event loop, if there is one and it is not guarded yet."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if loop not in self._guards:
            generator = self._guards[loop] = _deliver_at_end()
            # The first call of `asend` registers the generator with the loop, also where the
            # task is cancelled before the generator is at its `yield`.
            with contextlib.suppress(StopIteration):
                generator.asend(None).send(None)


@cache
def _report_at_once() -> None:
    """Have litellm queue the report of a call when the call returns, not a task later.

    It starts a task that does nothing but put the report into its queue. A loop that ends at
    that moment, as after `asyncio.run(acompletion(...))`, cancels the task before it has begun.
    """
    import litellm.utils
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

    async def nothing() -> None:
        """What litellm starts as a task in place of its own function."""

    def queue_report(
        logging_obj: Any,
        result: Any,
        start_time: Any,
        end_time: Any,
        is_completion_with_fallbacks: bool,
    ) -> Coroutine[Any, Any, None]:
        if not is_completion_with_fallbacks:
            GLOBAL_LOGGING_WORKER.ensure_initialized_and_enqueue(
                async_coroutine=logging_obj.async_success_handler(
                    result=result, start_time=start_time, end_time=end_time
                )
            )
        return nothing()

    if hasattr(litellm.utils, "_client_async_logging_helper"):
        litellm.utils._client_async_logging_helper = queue_report


async def _deliver_at_end() -> AsyncGenerator[None]:
    try:
        yield
    finally:
        from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

        # The end of a loop cancels the tasks of the worker first. A report that it had taken from
        # its queue and not begun is kept aside for the next loop, where it would be recorded late,
        # or by a later watcher; and its queue waits for that report forever. For another loop than
        # the one it knows, the worker makes a new queue with all reports that are left.
        if hasattr(GLOBAL_LOGGING_WORKER, "_bound_loop"):
            GLOBAL_LOGGING_WORKER._bound_loop = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_S):
                await GLOBAL_LOGGING_WORKER.flush()
                await GLOBAL_LOGGING_WORKER.stop()


def _make_watcher(record: Callable[[Call], None]) -> Any:
    """A callback object of litellm's kind; it passes arguments by keyword, so names count."""
    from litellm.integrations.custom_logger import CustomLogger

    calls, loop_ends = _ReportedCalls(record), _LoopEnds()

    class Watcher(CustomLogger):  # type: ignore[misc]
        def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
            loop_ends.guard()

        def log_success_event(
            self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
        ) -> None:
            calls.add(kwargs, "ok")

        def log_failure_event(
            self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
        ) -> None:
            calls.add(kwargs, "error")

        async def async_log_success_event(
            self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
        ) -> None:
            calls.add(kwargs, "ok")

        async def async_log_failure_event(
            self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
        ) -> None:
            calls.add(kwargs, "error")

    return Watcher()


def _build_call(summary: Mapping[str, Any], status: Status) -> Call:
    """One row from litellm's own summary of a call."""
    from uuid_utils import uuid7

    provider = str(summary.get("custom_llm_provider") or "unknown")
    model = str(summary.get("model") or "").removeprefix(f"{provider}/")
    started, ended = _number(summary.get("startTime")), _number(summary.get("endTime"))
    first = _number(summary.get("completionStartTime")) if summary.get("stream") else None
    cost = summary.get("response_cost")
    return Call(
        call_id=str(uuid7()),
        request_id=str(summary.get("trace_id") or uuid7()),
        attempt=1,
        attempt_kind="first",
        origin="litellm",
        origin_id=str(summary.get("litellm_call_id") or "") or None,
        started_at=datetime.fromtimestamp(started, UTC) if started else datetime.now(UTC),
        seq=0,
        provider=provider,
        model=f"{provider}/{model}",
        operation="embeddings" if "embedding" in str(summary.get("call_type")) else "chat",
        stream=bool(summary.get("stream")),
        status=status,
        **(_error_columns(summary) if status != "ok" else {}),
        input_tokens=_count(summary.get("prompt_tokens")),
        output_tokens=_count(summary.get("completion_tokens")),
        usage_source="provider" if _count(summary.get("completion_tokens")) else "none",
        cost_usd=Decimal(str(cost)) if cost and status == "ok" else None,
        ttft_ms=(first - started) * 1000 if first and started else None,
        duration_ms=(ended - started) * 1000 if ended and started else None,
        tags={str(tag): "" for tag in summary.get("request_tags") or ()},
        flags=("as_litellm_says",),
        recorded_by="callback",
        toolkit_version=__version__,
        litellm_version=version(),
    )


def _error_columns(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The error in our codes, with our blame; litellm's class alone says too little."""
    information: Any = summary.get("error_information") or {}
    message, name = str(summary.get("error_str") or ""), str(information.get("error_class") or "")
    http_status = _count(information.get("error_code"))
    kind = _error_class(name, http_status, message)
    return {
        "error_code": kind.code,
        "error_cause": name or None,
        "blame": "provider" if kind is RateLimited else kind.default_blame,
        "http_status": http_status,
        "error_message": clean_words(message) or None,
    }


def _error_class(name: str, status: int | None, message: str) -> type[CallError]:
    if "Connection error" in message or "Connection refused" in message:
        return ConnectionFailed  # litellm makes a server error of it, with a status of its own
    if name in _BY_CLASS:
        return _BY_CLASS[name]
    if status is None:
        return ServerError
    return _BY_STATUS.get(status) or (InvalidRequest if 400 <= status < 500 else ServerError)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _count(value: Any) -> int | None:
    """A count that litellm knows; its 0 means unknown."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    return value if isinstance(value, int) and value > 0 else None
