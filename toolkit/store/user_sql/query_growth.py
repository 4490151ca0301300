"""Which functions of a user's SQL may make values of any size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

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
    | {"strftime"}  # twelve times its format at most, and what it writes is no format again
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
    # files and settings, which are refused where the query runs
    | {"read_text", "read_blob", "read_csv", "read_csv_auto", "read_json", "read_json_auto"}
    | {"read_json_objects", "read_parquet", "parquet_scan", "glob", "sniff_csv", "getenv"}
    | {"duckdb_secrets", "duckdb_settings"}
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

    Attributes:
        names: the same.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(", ".join(names))
        self.names: tuple[str, ...] = tuple(names)


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


def _nodes(tree: object) -> Iterator[Mapping[str, Any]]:
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, Mapping):
            yield node
            todo.extend(node.values())
        elif isinstance(node, list):
            todo.extend(node)
