"""Bounds in time for what a user gives and we run: patterns, schemas, functions.

The `re` module cannot be interrupted and holds the interpreter while it backtracks: one pattern
such as `(a|aa)+$` stopped every thread of the process for 8.7 s. The `regex` module checks a
time limit while it searches.
"""

from __future__ import annotations

import asyncio
import contextvars
import re
import threading
from collections.abc import Callable
from typing import Any, Final

import regex

from toolkit.errors import InvalidInput

PATTERN_TIMEOUT_S: Final = 1.0
FUNCTION_TIMEOUT_S: Final = 60.0
_SAME_FLAGS: Final = (
    (re.IGNORECASE, regex.IGNORECASE),
    (re.MULTILINE, regex.MULTILINE),
    (re.DOTALL, regex.DOTALL),
    (re.VERBOSE, regex.VERBOSE),
    (re.ASCII, regex.ASCII),
)


class TookTooLong(Exception):
    """Something that a user gave did not end within its time limit."""


class BoundedPattern:
    """A regular expression whose search ends.

    Args:
        pattern: as for `re`.
        flags: those of `re`.
        timeout_s: for one search.

    Raises:
        InvalidInput: it is not a regular expression.
    """

    def __init__(self, pattern: str, flags: int = 0, timeout_s: float = PATTERN_TIMEOUT_S) -> None:
        self.pattern = pattern
        self.timeout_s = timeout_s
        ours = sum(new for old, new in _SAME_FLAGS if flags & old)
        try:
            self._compiled = regex.compile(pattern, ours)
        except (regex.error, RecursionError, OverflowError) as error:
            raise InvalidInput(f"{pattern!r} is not a regular expression: {error}") from None

    def matches(self, text: str) -> bool:
        """Whether the pattern is found anywhere in the text.

        Raises:
            TookTooLong: the search did not end in time.
        """
        try:
            # `concurrent` lets other threads run while it searches.
            return self._compiled.search(text, timeout=self.timeout_s, concurrent=True) is not None
        except TimeoutError:
            raise TookTooLong(
                f"the pattern {self.pattern!r} took longer than {self.timeout_s:g} s on a text of "
                f"{len(text):,} characters"
            ) from None


async def call_bounded(
    function: Callable[..., Any], *args: Any, timeout_s: float = FUNCTION_TIMEOUT_S
) -> Any:
    """Call a plain function in a thread of its own, and wait no longer than `timeout_s`.

    Python cannot stop a thread: a function that never returns goes on in a daemon thread, which
    holds up neither the run nor the end of the process.

    Raises:
        TookTooLong: it did not return in time.
        Exception: whatever the function raises.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def finish(result: Any, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def work() -> None:
        result: Any = None
        problem: BaseException | None = None
        try:
            result = context.run(function, *args)
        except StopIteration as error:  # a future does not accept it
            problem = RuntimeError(f"the function raised {error!r}")
        except BaseException as error:  # noqa: BLE001 - handed to the waiting caller
            problem = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, result, problem)

    threading.Thread(target=work, name="toolkit-user-function", daemon=True).start()
    try:
        return await asyncio.wait_for(done, timeout_s)
    except TimeoutError:
        if done.done() and not done.cancelled():
            raise  # the function's own error
        name = getattr(function, "__name__", type(function).__name__)
        raise TookTooLong(f"{name} took longer than {timeout_s:g} s") from None
