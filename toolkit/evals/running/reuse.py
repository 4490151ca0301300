"""Answers that exist already: of the run itself, and of earlier runs that asked the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from toolkit.evals.running.plan import Key, Plan, Task
from toolkit.evals.solvers import Solved
from toolkit.records import Receipt, Reply, Timing, ToolCall, Usage
from toolkit.store.queries import evals as queries

if TYPE_CHECKING:
    from toolkit.store.store import Store

from toolkit.evals.config import EvalConfig, read_config
from toolkit.evals.dataset import Dataset, Sample
from toolkit.evals.results.cell_values import as_value
from toolkit.evals.solvers import Solver


def find_done(store: Store, run_id: str, *, with_errors: bool = True) -> frozenset[Key]:
    """What a run has asked already; failed calls count too, `with_errors`. What a cap left out
    was not asked.
    """
    rows = queries.answered_samples(store, run_id, with_errors=with_errors)
    return frozenset(
        Key(row["model"], row["variant"], sample_id, row["epoch"])
        for row in rows
        for sample_id in row["sample_ids"]
    )


def find_answers(
    store: Store, run_ids: Sequence[str], plan: Plan, *, is_own: bool = False
) -> list[tuple[Task, Solved]]:
    """The stored answers to what the plan asks; those of the run's own keep their cost, others
    are marked as taken from before.
    """
    samples = {sample.sample_id: sample for sample in plan.dataset}
    solvers = {solver.name: solver for solver in plan.solvers}
    found = []
    for row in queries.stored_answers(store, run_ids):
        sample, solver = samples.get(row["sample_id"]), solvers.get(row["variant"])
        is_asked = row["model"] in plan.models and row["epoch"] <= plan.epochs
        if sample is not None and solver is not None and is_asked:
            task = Task(row["model"], solver, sample, row["epoch"])
            flags = ("cached",) if row["is_cached"] or not is_own else ()
            found.append((task, _solved(row, flags)))
    return found


def find_reusable(store: Store, plan: Plan) -> list[tuple[Task, Solved]]:
    """Answers of earlier runs over the same data, asked by solvers that are the same throughout.

    A function is known by its name only and may have changed, so its answers are not taken.
    """
    own = {solver.name: _plain(solver.describe()) for solver in plan.solvers}
    found: dict[Key, tuple[Task, Solved]] = {}
    for row in queries.runs_of_dataset(store, plan.dataset.digest):
        config = json.loads(row["config"]) if isinstance(row["config"], str) else row["config"]
        theirs = {entry["name"]: entry for entry in config.get("solvers", ())}
        same = {
            name
            for name, entry in own.items()
            if theirs.get(name) == entry and "function" not in entry
        }
        if same:
            for task, solved in find_answers(store, [row["run_id"]], plan):
                if task.solver.name in same:
                    found.setdefault(task.key, (task, solved))
    return list(found.values())


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _solved(row: Mapping[str, Any], flags: tuple[str, ...]) -> Solved:
    """The stored answer with the timing it had."""
    stored = row["tool_calls"]
    calls = json.loads(stored) if isinstance(stored, str) else stored or ()
    reply = Reply(
        text=row["output"] or "",
        tool_calls=tuple(
            ToolCall(id=c.get("id"), name=c.get("name", ""), arguments=c.get("arguments", ""))
            for c in calls
        ),
        usage=Usage(input_tokens=row["input_tokens"], output_tokens=row["output_tokens"]),
        finish_reason=row["finish_reason"],
        receipt=Receipt(cost_usd=row["cost_usd"]),
        timing=Timing(ttft_ms=row["ttft_ms"], duration_ms=row["duration_ms"]),
        call_id=row["call_id"] or "",
        request_id=row["request_id"] or "",
        model=row["model"],
        flags=flags,
    )
    return Solved(row["output"] or "", (reply,))


def config_of_rows(name: str, rows: Sequence[Mapping[str, Any]], scorers: Any) -> EvalConfig:
    """An order whose plan holds every answer of the rows; its solvers are names only.

    Raises:
        InvalidInput: no row is given, or a scorer cannot be read.
    """
    firsts = {str(row["sample_id"]): row for row in rows}
    dataset = Dataset((_sample(row) for row in firsts.values()), name=name)
    variants = sorted({row["variant"] or "" for row in rows})
    options = {
        "name": name,
        "solvers": [Solver(name=variant) for variant in variants],
        "epochs": max((int(row["epoch"]) for row in rows), default=1),
        "scorers": scorers,
    }
    return read_config(dataset, sorted({row["model"] for row in rows}), options)


def _sample(row: Mapping[str, Any]) -> Sample:
    asked, wanted = as_value(row["input"]), as_value(row["target"])
    if wanted is not None:
        several = isinstance(wanted, list)
        wanted = tuple(map(str, wanted)) if several else str(wanted)
    return Sample(
        sample_id=str(row["sample_id"]),
        input=asked if isinstance(asked, list | dict) else str(asked or ""),
        target=wanted,
        metadata=as_value(row["metadata"]) or {},
    )
