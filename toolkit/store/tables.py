"""The tables of the database: their columns, what makes a row unique, and how a second row counts.

`migrations/` says what each column means and of which type it is; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from toolkit.records import CALL_COLUMNS


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

    @property
    def column_set(self) -> frozenset[str]:
        """The columns' names, for quick membership tests."""
        return frozenset(self.columns)


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
