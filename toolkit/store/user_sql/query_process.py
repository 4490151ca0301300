"""Queries of a user whose values may grow without bound run in a process of their own.

DuckDB counts the rows that it keeps as memory, but not the values that a function is making, and
it does not stop within one: `replace(s, 'x', t)`, `list_transform` and their like make gigabytes in
a single row. So a query that uses any function that is not known to keep its values small runs in a
child, which is ended when it has taken too much memory or time.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from toolkit.errors import StoreError
from toolkit.settings import Settings
from toolkit.store.reader import too_slow

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Form = Literal["frame", "arrow"]

PROCESS_BYTES: Final = 2 * 1024**3
"""Most resident memory of the child: its libraries, what DuckDB may use, and the result."""
_START_S: Final = 120.0
TOO_LARGE: Final = 71
TOO_SLOW: Final = 72
_CODE: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from toolkit.store.user_sql.query_child import answer; answer()"
)


def run_in_child(
    settings: Settings,
    form: Form,
    sql: str,
    params: Sequence[Any] | Mapping[str, Any],
    timeout_s: float,
) -> pd.DataFrame | pa.Table:
    """Run a query in a child and give its result.

    Raises:
        StoreError: as in this process; or it took too much memory or time.
    """
    package = str(Path(__file__).parents[3])
    task = pickle.dumps((settings.model_dump(), form, sql, params, timeout_s))
    child = subprocess.Popen(  # noqa: S603 - this Python and the toolkit's own code
        [sys.executable, "-c", _CODE, package],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        output, words = child.communicate(task, timeout=timeout_s + _START_S)
    except subprocess.TimeoutExpired:
        raise too_slow() from None
    finally:
        if child.poll() is None:
            child.kill()
            child.communicate()
    if child.returncode == TOO_SLOW:
        raise too_slow()
    if child.returncode == TOO_LARGE:
        raise _too_large()
    if child.returncode or not output:
        reason = words.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it ended"]
        raise StoreError(f"the query has failed: {reason[0][:300]}", cause="sql")
    found = pickle.loads(output)  # noqa: S301 - written by `query_child`
    if isinstance(found, tuple):
        message, hint, cause = found
        raise StoreError(message, hint=hint, cause=cause)
    return found


def _too_large() -> StoreError:
    return StoreError(
        f"the query took more than {PROCESS_BYTES >> 20:,} MB of memory and was stopped",
        hint="Make smaller values: select fewer rows, or do the last step on the frame.",
        cause="memory",
    )
