"""A second door for existing litellm code: its callbacks become rows, best-effort and marked.

litellm tells of a finished call after the fact, on threads of its own, sometimes twice and
sometimes not at all (an abandoned stream). What it says of timing and usage is taken as it is,
and the row says so: `recorded_by="callback"`, flag `as_litellm_says`.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from toolkit.calls.adapters.library import load, version
from toolkit.calls.parsers.error_classes import clean_words
from toolkit.errors import ToolkitError
from toolkit.records import Call, Status
from toolkit.version import __version__

_log = logging.getLogger("toolkit")
_REMEMBERED = 10_000


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

    def stop() -> None:
        # litellm copies its callbacks into several lists when they first run.
        names = ("callbacks", "success_callback", "failure_callback", "input_callback")
        lists = (*names, *(f"_async_{name}" for name in names[1:]))
        for name in lists:
            held = getattr(litellm, name, None)
            while isinstance(held, list) and watcher in held:
                held.remove(watcher)

    return stop


class _Notebook:
    """Writes each call that litellm tells of once."""

    def __init__(self, record: Callable[[Call], None]) -> None:
        self._record = record
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, kwargs: Mapping[str, Any], status: Status) -> None:
        """Write what litellm says of one call, unless it was written before."""
        told = kwargs.get("standard_logging_object")
        if not isinstance(told, Mapping) or not self._is_new(told):
            return
        try:
            self._record(_build_call(told, status))
        except (ToolkitError, OSError, sqlite3.Error) as error:
            _log.warning("a watched litellm call was not recorded: %s", error)

    def _is_new(self, told: Mapping[str, Any]) -> bool:
        call_id = str(told.get("litellm_call_id") or told.get("id"))
        with self._lock:
            if call_id in self._seen:
                return False
            self._seen[call_id] = None
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
            return True


def _make_watcher(record: Callable[[Call], None]) -> Any:
    """litellm's kind of listener; it passes arguments by keyword, so their names are its own."""
    from litellm.integrations.custom_logger import CustomLogger

    notebook = _Notebook(record)

    class Watcher(CustomLogger):  # type: ignore[misc]
        def log_success_event(
            self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
        ) -> None:
            notebook.take(kwargs, "ok")

        def log_failure_event(
            self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
        ) -> None:
            notebook.take(kwargs, "error")

        async def async_log_success_event(
            self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
        ) -> None:
            notebook.take(kwargs, "ok")

        async def async_log_failure_event(
            self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
        ) -> None:
            notebook.take(kwargs, "error")

    return Watcher()


def _build_call(told: Mapping[str, Any], status: Status) -> Call:
    """One row from litellm's own summary of a call."""
    from uuid_utils import uuid7

    provider = str(told.get("custom_llm_provider") or "unknown")
    model = str(told.get("model") or "").removeprefix(f"{provider}/")
    started, ended = _number(told.get("startTime")), _number(told.get("endTime"))
    first = _number(told.get("completionStartTime")) if told.get("stream") else None
    error: Any = told.get("error_information") or {}
    cost = told.get("response_cost")
    return Call(
        call_id=str(uuid7()),
        request_id=str(told.get("trace_id") or uuid7()),
        attempt=1,
        attempt_kind="first",
        origin="litellm",
        origin_id=str(told.get("litellm_call_id") or "") or None,
        started_at=datetime.fromtimestamp(started, UTC) if started else datetime.now(UTC),
        seq=0,
        provider=provider,
        model=f"{provider}/{model}",
        operation="embeddings" if "embedding" in str(told.get("call_type")) else "chat",
        stream=bool(told.get("stream")),
        status=status,
        error_code=str(error.get("error_class") or "UNKNOWN") if status != "ok" else None,
        http_status=_count(error.get("error_code")),
        error_message=clean_words(str(told.get("error_str") or "")) or None,
        input_tokens=_count(told.get("prompt_tokens")),
        output_tokens=_count(told.get("completion_tokens")),
        usage_source="provider" if _count(told.get("completion_tokens")) else "none",
        cost_usd=Decimal(str(cost)) if cost and status == "ok" else None,
        ttft_ms=(first - started) * 1000 if first and started else None,
        duration_ms=(ended - started) * 1000 if ended and started else None,
        tags={str(tag): "" for tag in told.get("request_tags") or ()},
        flags=("as_litellm_says",),
        recorded_by="callback",
        toolkit_version=__version__,
        litellm_version=version(),
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _count(value: Any) -> int | None:
    """A count that litellm knows; its 0 stands for unknown."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    return value if isinstance(value, int) and value > 0 else None
