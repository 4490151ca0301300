"""The child in which a query that may grow runs; see `query_process`."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from contextlib import suppress
from typing import Final

from toolkit.errors import StoreError
from toolkit.settings import Settings
from toolkit.store.user_sql.query_process import PROCESS_BYTES, TOO_LARGE, TOO_SLOW

_LATE_S: Final = 5.0
_LOOK_S: Final = 0.01


def answer() -> None:
    """Run the query that stdin describes and write its result to stdout: the child."""
    values, form, sql, params, timeout_s = pickle.load(sys.stdin.buffer)  # noqa: S301
    # What a library prints must not stand in the result.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    began = threading.Event()
    threading.Thread(target=_watch, args=(began, timeout_s + _LATE_S), daemon=True).start()
    # Reading the libraries takes no part of the time of the query.
    import pandas  # noqa: F401

    from toolkit.store.store import Store

    store = Store(Settings(**values))
    began.set()
    try:
        found: object = store.answer_here(form, sql, params)
    except StoreError as error:
        found = (error.message, error.hint, error.cause)
    with output:
        pickle.dump(found, output, protocol=pickle.HIGHEST_PROTOCOL)
    output.close()
    os._exit(0)  # nothing was written, so nothing is to be closed


def _watch(began: threading.Event, timeout_s: float) -> None:
    """End this process when it takes too much memory, or too much time once it has begun."""
    _limit_allocations()
    deadline: float | None = None
    while True:
        if _resident_bytes() > PROCESS_BYTES:
            os._exit(TOO_LARGE)
        if deadline is None and began.is_set():
            deadline = time.monotonic() + timeout_s
        if deadline is not None and time.monotonic() > deadline:
            os._exit(TOO_SLOW)
        time.sleep(_LOOK_S)


def _limit_allocations() -> None:
    """Refuse what is asked for at once and in one piece, where the system can (POSIX)."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        limit = 2 * PROCESS_BYTES
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _resident_bytes() -> int:
    """Resident memory of this process; where it cannot be read, 0."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except OSError:
        pass
    with suppress(ImportError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes
        return peak if sys.platform == "darwin" else peak * 1024
    return 0
