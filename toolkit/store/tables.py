"""The tables of the database: their columns, what makes a row unique, and how a second row counts.

`migrations/` says what each column means and of which type it is; a test holds the two together.
`encode_row` makes the JSON text that the journal keeps, safe for every later reader: what JSON or
UTF-8 cannot hold is made readable there, once, and flagged. Lone surrogates become U+FFFD, numbers
beyond 64 bits NULL (or text within nested values); None is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from decimal import Decimal
from os import PathLike
from types import MappingProxyType
from typing import Any, Final

import orjson

from toolkit.errors import StoreError
from toolkit.records import CALL_COLUMNS
from toolkit.secret import current_matcher, redact_shapes


@dataclass(frozen=True, slots=True)
class Table:
    """One table that rows can be appended to.

    Attributes:
        name: its name.
        key: the columns that make a row unique.
        columns: all columns, in order.
        is_replacing: a newer row of the same key replaces the older one; otherwise the first
            row stays and a second one of the same key is a repetition.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    is_replacing: bool = False


def _columns(names: str) -> tuple[str, ...]:
    return tuple(names.split())


_ALL: Final = (
    Table("calls", ("call_id",), CALL_COLUMNS),
    Table(
        "providers",
        ("name",),
        _columns(
            "name display_name type base_url origin default_model source is_local is_default "
            "is_active needs_key auto_sync timeout_s max_retries rpm tpm params tested_at "
            "created_at updated_at deactivated_at"
        ),
        is_replacing=True,
    ),
    Table(
        "models",
        ("provider", "model_id"),
        _columns(
            "provider model_id model display_name description owner family kind "
            "context_window max_output_tokens input_usd_per_mtok output_usd_per_mtok "
            "cached_input_usd_per_mtok cache_write_usd_per_mtok reasoning_usd_per_mtok "
            "price_id price_source price_date input_modalities output_modalities capabilities "
            "status is_enabled is_local sync_status sync_error synced_at first_seen_at "
            "last_seen_at gone_at released_at deprecation_date successor size_bytes "
            "parameters quantization aliases flags facts raw"
        ),
        is_replacing=True,
    ),
    Table(
        "model_changes",
        ("change_id",),
        _columns("change_id changed_at provider model_id model kind field old new source sync_id"),
    ),
    Table(
        "prices",
        ("price_id",),
        _columns(
            "price_id provider model_id model token_class usd_per_million tier above_tokens "
            "valid_from valid_to source source_date recorded_at note"
        ),
    ),
    Table(
        "tariffs",
        ("rate_id",),
        _columns(
            "rate_id price_id token_class above_tokens usd_per_million provider model_id model "
            "source as_of recorded_at tier"
        ),
    ),
    Table(
        "probes",
        ("probe_id",),
        _columns(
            "probe_id probed_at provider model kind status outcome state previous_state "
            "reason blame error_code error_cause error_message http_status latency_ms ttft_ms "
            "retry_after_s cost_usd call_id is_manual details"
        ),
    ),
    Table(
        "incidents",
        ("incident_id",),
        _columns(
            "incident_id provider model state opened_at closed_at reason error_code probes "
            "failures evidence scope alerted_at end_alerted_at"
        ),
        is_replacing=True,
    ),
    Table(
        "boards",
        ("board_id",),
        _columns("board_id created_at title messages params is_blind tags"),
        is_replacing=True,
    ),
    Table(
        "panes",
        ("pane_id",),
        _columns("pane_id board_id position label model params state error_code call_id ended_at"),
    ),
    Table(
        "votes",
        ("vote_id",),
        _columns(
            "vote_id board_id voted_at pane_a pane_b model_a model_b outcome is_blind voter note"
        ),
    ),
    Table(
        "datasets",
        ("dataset_id",),
        _columns("dataset_id name path sha256 samples columns created_at updated_at details"),
        is_replacing=True,
    ),
    Table(
        "eval_runs",
        ("run_id",),
        _columns(
            "run_id name dataset_id dataset dataset_sha256 models scorers epochs params "
            "config seed status samples done errors cost_usd started_at ended_at summary tags"
        ),
        is_replacing=True,
    ),
    Table(
        "eval_samples",
        ("result_id",),
        _columns(
            "result_id run_id sample_id epoch provider model scorer input target output score "
            "is_pass explanation scores metadata status error_code error_message call_id "
            "request_id input_tokens output_tokens cost_usd duration_ms scored_at variant params "
            "ttft_ms is_cached judge_model judge_call_id judge_cost_usd"
        ),
    ),
    Table(
        "regressions",
        ("verdict_id",),
        _columns(
            "verdict_id run_id judged_at suite case_name verdict mode provider model call_id "
            "expected actual difference duration_ms repeats passes error_code details"
        ),
    ),
    Table(
        "load_tests",
        ("run_id",),
        _columns(
            "run_id name model config status requests done cost_usd started_at ended_at summary "
            "tags"
        ),
        is_replacing=True,
    ),
)

TABLES: Final[Mapping[str, Table]] = MappingProxyType({table.name: table for table in _ALL})
"""Every table that rows can be appended to, by name."""


SURROGATES_REPLACED: Final = "surrogates_replaced"
NUMBER_OUT_OF_RANGE: Final = "number_out_of_range"
REDACTED_FLAG: Final = "secret_redacted"

# Texts of users and models: they may speak of keys in general, an address or an example.
_BODIES: Final = frozenset(
    {"messages", "output_text", "reasoning_text", "tool_calls", "params", "choices", "parts"}
    | {"input", "target", "output", "explanation", "description", "note", "title"}
)

_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**63 - 1
_OPTIONS: Final = orjson.OPT_NAIVE_UTC | orjson.OPT_SERIALIZE_NUMPY
_COLUMNS: Final = {name: frozenset(table.columns) for name, table in TABLES.items()}


def require_table(name: str) -> Table:
    """The table of that name.

    Raises:
        StoreError: there is none.
    """
    table = TABLES.get(name)
    if table is None:
        raise StoreError(
            f"the store has no table {name!r}", hint=f"Tables are {', '.join(sorted(TABLES))}."
        )
    return table


def encode_row(table: Table, row: Mapping[str, Any]) -> str:
    """`row` as JSON text without its unknown values, and without any secret.

    Every row of every table passes here, so redaction in this one place covers all columns: a
    provider that echoed its key had it stored in ten of them. Known secrets are removed
    everywhere, what only looks like a key everywhere but in the bodies of prompts and answers.

    Raises:
        StoreError: a column that the table lacks, a key without a value, or a value that has
            no form in JSON.
    """
    _check_columns(table, row)
    text = _encode(table, row)
    matcher = current_matcher()
    redacted: dict[str, str] = {}
    for name, value in row.items():
        if isinstance(value, str) and name not in _BODIES:
            without = redact_shapes(value)
            if without != value:
                redacted[name] = without
    if not redacted and not matcher.spans(text.encode()):
        return text
    clean = {name: matcher.redact_value(value) for name, value in {**row, **redacted}.items()}
    if "flags" in _COLUMNS[table.name] and any(row[name] != v for name, v in clean.items()):
        clean["flags"] = sorted({*(clean.get("flags") or ()), REDACTED_FLAG})
    return _encode(table, clean)


def _encode(table: Table, row: Mapping[str, Any]) -> str:
    kept: dict[str, Any] = {}
    for name, value in row.items():
        if value is None:
            continue
        if type(value) is int and not _MIN_INT <= value <= _MAX_INT:
            return _encode_carefully(table, row)
        kept[name] = value
    try:
        return orjson.dumps(kept, default=_plain, option=_OPTIONS).decode()
    except TypeError:  # a lone surrogate, a huge number, a key that is not text
        return _encode_carefully(table, row)


def _check_columns(table: Table, row: Mapping[str, Any]) -> None:
    if not row.keys() <= _COLUMNS[table.name]:
        unknown = ", ".join(sorted(map(str, row.keys() - _COLUMNS[table.name])))
        raise StoreError(f"table {table.name} has no column {unknown}")
    for name in table.key:
        if not isinstance(row.get(name), str):
            raise StoreError(f"a row of {table.name} needs a text for {name}")


def _plain(value: Any) -> Any:
    """What orjson does not know by itself, in JSON's terms."""
    if isinstance(value, Decimal | PathLike):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Set):
        return sorted(value, key=str)
    raise TypeError(f"no JSON form for {type(value).__name__}")


def _encode_carefully(table: Table, row: Mapping[str, Any]) -> str:
    """The slow way: every value is looked at, and what cannot be kept is flagged."""
    cleaner = _Cleaner()
    try:
        kept = {name: cleaner.top(value) for name, value in row.items() if value is not None}
    except RecursionError:
        raise StoreError(f"a row of {table.name} cannot be written as JSON: too deep") from None
    if cleaner.flags and "flags" in _COLUMNS[table.name]:
        kept["flags"] = sorted({*(kept.get("flags") or ()), *cleaner.flags})
    try:
        return orjson.dumps(
            {name: value for name, value in kept.items() if value is not None}, option=_OPTIONS
        ).decode()
    except TypeError as error:
        raise StoreError(f"a row of {table.name} cannot be written as JSON: {error}") from None


class _Cleaner:
    """Makes values fit for JSON and remembers what it had to change."""

    def __init__(self) -> None:
        self.flags: set[str] = set()

    def top(self, value: Any) -> Any:
        """A column's value; a number that does not fit is unknown."""
        if isinstance(value, int) and not isinstance(value, bool) and not _fits(value):
            self.flags.add(NUMBER_OUT_OF_RANGE)
            return None
        return self.clean(value)

    def clean(self, value: Any) -> Any:
        """A value within a column; a number that does not fit is kept as text."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int) and not isinstance(value, bool) and not _fits(value):
            self.flags.add(NUMBER_OUT_OF_RANGE)
            return str(value)
        if isinstance(value, Mapping):
            return {self.text(str(name)): self.clean(item) for name, item in value.items()}
        if isinstance(value, Set):
            value = sorted(value, key=str)
        if isinstance(value, list | tuple):
            return [self.clean(item) for item in value]
        return self.clean(_plain(value)) if isinstance(value, Decimal | PathLike) else value

    def text(self, value: str) -> str:
        """The text with surrogate pairs joined and lone surrogates replaced."""
        try:
            value.encode()
        except UnicodeEncodeError:
            self.flags.add(SURROGATES_REPLACED)
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value


def _fits(value: int) -> bool:
    return _MIN_INT <= value <= _MAX_INT
