"""Queries of a user whose values may grow without bound run in a process of their own.

DuckDB counts the rows that it keeps as memory, but not the values that a function is making, and
it does not stop within one: `replace(s, 'x', t)`, `list_transform` and their like make gigabytes in
a single row. So a query that uses any function that is not known to keep its values small runs in a
child, which is ended when it has taken too much memory or time.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from toolkit.errors import StoreError
from toolkit.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Form = Literal["frame", "arrow"]

PROCESS_BYTES: Final = 2 * 1024**3
"""Most resident memory of the child: its libraries, what DuckDB may use, and the result."""
_START_S: Final = 120.0
_LATE_S: Final = 5.0
_LOOK_S: Final = 0.01
_TOO_LARGE: Final = 71
_TOO_SLOW: Final = 72
_PAGE: Final = 4096
_CODE: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from toolkit.store.query_process import answer; answer()"
)

# Each makes a value no larger than those that it is given, or one of a few bytes. `repeat` and
# others are among them where macros bound them; see `reader`.
KEEPS_SIZE: Final = frozenset(
    # operators, comparisons, numbers
    {"+", "-", "*", "/", "//", "%", "**", "^", "&", "|", "~", "<<", ">>", "abs", "round", "floor"}
    | {"ceil", "ceiling", "trunc", "sign", "sqrt", "exp", "ln", "log", "log10", "log2", "pow"}
    | {"power", "greatest", "least", "coalesce", "ifnull", "nullif", "if", "isnan", "isfinite"}
    | {"isinf", "random", "mod", "add", "subtract", "multiply", "divide", "even", "hash"}
    # text
    | {"~~", "!~~", "~~*", "!~~*", "~~~", "like_escape", "not_like_escape", "ilike_escape"}
    | {"not_ilike_escape", "lower", "upper", "lcase", "ucase", "trim", "ltrim", "rtrim", "left"}
    | {"right", "substr", "substring", "length", "len", "strlen", "char_length", "contains"}
    | {"character_length", "starts_with", "ends_with", "prefix", "suffix", "instr", "strpos"}
    | {"position", "regexp_matches", "regexp_full_match", "regexp_extract", "reverse", "md5"}
    | {"sha256", "ascii", "unicode", "ord", "chr", "bit_length", "split_part", "octet_length"}
    | {"levenshtein", "jaccard", "typeof", "^@"}
    # times
    | {"date_trunc", "date_part", "datepart", "datetrunc", "extract", "year", "month", "day"}
    | {"hour", "minute", "second", "millisecond", "microsecond", "quarter", "week", "weekday"}
    | {"dayofweek", "isodow", "dayofyear", "dayofmonth", "dayname", "monthname", "epoch"}
    | {"epoch_ms", "epoch_us", "epoch_ns", "now", "today", "current_date", "current_timestamp"}
    | {"get_current_timestamp", "get_current_time", "age", "date_diff", "datediff", "date_sub"}
    | {"date_add", "datesub", "time_bucket", "strptime", "try_strptime", "make_date", "to_days"}
    | {"make_timestamp", "make_time", "to_timestamp", "to_years", "to_months", "to_weeks"}
    | {"to_hours", "to_minutes", "to_seconds", "to_milliseconds", "to_microseconds", "timezone"}
    | {"last_day", "transaction_timestamp"}
    # parts of values
    | {"->", "->>", "json_extract", "json_extract_string", "json_extract_path", "json_type"}
    | {"json_extract_path_text", "json_array_length", "json_valid", "json_exists", "json_value"}
    | {"list_value", "struct_pack", "row", "map", "list_extract", "array_extract", "unnest"}
    | {"struct_extract", "map_extract", "element_at", "list_contains", "array_contains"}
    | {"list_has", "array_has", "array_length", "cardinality", "list_position", "map_keys"}
    | {"map_values", "map_contains", "list_sum", "list_min", "list_max", "list_avg", "list_count"}
    | {"list_any_value", "list_unique", "array_value", "current_setting", "version"}
    # aggregates and windows
    | {"count", "count_star", "sum", "avg", "mean", "min", "max", "any_value", "arg_min"}
    | {"arg_max", "argmin", "argmax", "min_by", "max_by", "first", "last", "median", "mode"}
    | {"quantile", "quantile_cont", "quantile_disc", "percentile_cont", "percentile_disc"}
    | {"approx_quantile", "approx_count_distinct", "stddev", "stddev_pop", "stddev_samp"}
    | {"variance", "var_pop", "var_samp", "corr", "covar_pop", "covar_samp", "bool_and"}
    | {"bool_or", "count_if", "countif", "sum_no_overflow", "fsum", "kurtosis", "skewness"}
    | {"regr_slope", "regr_intercept", "regr_r2", "entropy", "product", "mad", "geomean"}
    | {"row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead"}
    | {"first_value", "last_value", "nth_value", "grouping"}
    # tables
    | {"duckdb_tables", "duckdb_columns", "duckdb_views", "pragma_table_info", "pragma_version"}
)
# Each adds what it is given, so a chain of them, or a recursion, doubles a value at every step.
_ADDS: Final = frozenset({"||", "concat", "concat_ws", "list_concat", "array_concat", "list_cat"})
_MOST_ADDED: Final = 6


class GrowingQueryError(Exception):
    """A query uses functions whose values may become large.

    Args:
        names: of the functions.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(", ".join(names))
        self.names = tuple(names)


def growing_functions(tree: object, bounded: frozenset[str] = frozenset()) -> list[str]:
    """The functions of a statement whose values may grow without bound, in order.

    Args:
        tree: the statement as DuckDB's `json_serialize_sql` gives it.
        bounded: further functions that are bounded where the statement runs.
    """
    names: Counter[str] = Counter()
    is_recursive = is_unknown = False
    for node in _nodes(tree):
        name = node.get("function_name")
        if isinstance(name, str):
            names[name.lower()] += 1
        is_recursive = is_recursive or node.get("type") == "RECURSIVE_CTE_NODE"
        is_unknown = is_unknown or node.get("error") is True
    added = [name for name in names if name in _ADDS]
    if not is_recursive and sum(names[name] for name in added) <= _MOST_ADDED:
        added = []
    found = [name for name in names if name not in KEEPS_SIZE | _ADDS | bounded]
    return sorted([*found, *added, *(["a statement of this kind"] if is_unknown else [])])


def run_apart(
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
    from toolkit.store.reader import too_slow

    package = str(Path(__file__).parents[2])
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
    if child.returncode == _TOO_SLOW:
        raise too_slow()
    if child.returncode == _TOO_LARGE:
        raise _too_large()
    if child.returncode or not output:
        reason = words.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it ended"]
        raise StoreError(f"the query has failed: {reason[0][:300]}", cause="sql")
    found = pickle.loads(output)  # noqa: S301 - written by `answer`
    if isinstance(found, tuple):
        message, hint, cause = found
        raise StoreError(message, hint=hint, cause=cause)
    return found  # type: ignore[no-any-return]


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
            os._exit(_TOO_LARGE)
        if deadline is None and began.is_set():
            deadline = time.monotonic() + timeout_s
        if deadline is not None and time.monotonic() > deadline:
            os._exit(_TOO_SLOW)
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
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        pass
    with suppress(ImportError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes
        return peak if sys.platform == "darwin" else peak * 1024
    return 0


def _too_large() -> StoreError:
    return StoreError(
        f"the query took more than {PROCESS_BYTES >> 20:,} MB of memory and was stopped",
        hint="Make smaller values: select fewer rows, or do the last step on the frame.",
        cause="memory",
    )


def _nodes(tree: object) -> Iterator[Mapping[str, Any]]:
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, Mapping):
            yield node
            todo.extend(node.values())
        elif isinstance(node, list):
            todo.extend(node)
