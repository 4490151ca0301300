"""One evaluation as a person holds it: what it came to, its rows, and how it stands to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toolkit.errors import InvalidInput
from toolkit.evals.results.summary import (
    compare_by_unit,
    describe,
    newest_rows,
    scorers_of,
    scores_by_side,
    short_names,
    unit_of,
)
from toolkit.stats.comparison import holm

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.toolkit import Toolkit

ROWS = "SELECT * FROM eval_samples WHERE run_id = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRun:
    """One evaluation.

    Attributes:
        run_id: its id, `origin_id` of its calls.
        name: for people.
        status: `running`, `done`, `stopped` (by a cap or a person) or `failed` (no answer came).
        summary: `sentence`, `scores`, `comparisons` by scorer, `errors` by code, `thresholds`.
        facts: its row of `eval_runs`.
    """

    run_id: str
    name: str
    status: str
    summary: Mapping[str, Any]
    facts: Mapping[str, Any]
    toolkit: Toolkit

    @property
    def passed(self) -> bool:
        """Whether it ended with answers and every threshold is met."""
        thresholds = self.summary.get("thresholds", ())
        return self.status == "done" and all(entry["passed"] for entry in thresholds)

    def rows(self) -> list[dict[str, Any]]:
        """The rows that count: the newest per answer and scorer."""
        rows = [dict(row) for row in newest_rows(self.toolkit.store.rows(ROWS, [self.run_id]))]
        return sorted(rows, key=lambda r: (r["model"], r["variant"], r["sample_id"], r["epoch"]))

    def frame(self) -> pd.DataFrame:
        """One row per answer and scorer, with the columns of `eval_samples`."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def answers(self) -> pd.DataFrame:
        """One row per answer; each scorer's score is a column of its name."""
        import pandas as pd

        kept: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in self.rows():
            key = (row["model"], row["variant"], row["sample_id"], row["epoch"])
            answer = kept.setdefault(key, {k: v for k, v in row.items() if k not in _OF_A_SCORE})
            if row["scorer"] is not None:
                answer[row["scorer"]] = row["score"]
        return pd.DataFrame(list(kept.values()))

    def compare(self, other: EvalRun, scorer: str | None = None) -> list[dict[str, Any]]:
        """The other run against this one, over the samples that both have.

        Where both have one model and variant each, these are compared; else each model and
        variant that both have, corrected for their number (Holm).

        Returns:
            One mapping per comparison; `sentence` says it in words.

        Raises:
            InvalidInput: they share no scorer, no model and variant, or no sample.
        """
        mine, theirs = self.rows(), other.rows()
        shared = [name for name in scorers_of(mine) if name in scorers_of(theirs)]
        if not shared or (scorer is not None and scorer not in shared):
            raise InvalidInput(f"both runs have no scores of {scorer or 'one scorer'}")
        found = []
        for name in [scorer] if scorer else shared:
            left, right = scores_by_side(mine, name), scores_by_side(theirs, name)
            found += self._compare_by(name, left, right, other)
        if not found:
            raise InvalidInput(
                "the runs have nothing in common to compare",
                hint="They need one model and variant each, or the same ones, and shared samples.",
            )
        return found

    def _compare_by(
        self, scorer: str, left: Mapping[Any, Any], right: Mapping[Any, Any], other: EvalRun
    ) -> list[dict[str, Any]]:
        pairs = [(side, side) for side in left if side in right]
        if len(left) == len(right) == 1:
            pairs = [(next(iter(left)), next(iter(right)))]
        pairs = [(a, b) for a, b in pairs if left[a].keys() & right[b].keys()]
        unit = unit_of(scorer, [*left.values(), *right.values()])
        results = [compare_by_unit(left[a], right[b], unit) for a, b in pairs]
        adjusted = holm([result.p_value for result in results])
        labels = short_names([*left, *right])
        own, its = (run.name or run.run_id[:8] for run in (self, other))
        if own == its:
            own, its = f"{own} {self.run_id[-6:]}", f"{its} {other.run_id[-6:]}"
        entries = []
        for (a, b), result, p in zip(pairs, results, adjusted, strict=True):
            names = (
                (own, its) if len(pairs) == 1 else (f"{own}: {labels[a]}", f"{its}: {labels[b]}")
            )
            entries.append({"scorer": scorer, **describe(result, *names, p, unit=unit)})
        return entries

    def __str__(self) -> str:
        return str(self.summary.get("sentence", self.name))


_OF_A_SCORE = frozenset(
    {
        "result_id",
        "scorer",
        "score",
        "is_pass",
        "explanation",
        "scores",
        "judge_model",
        "judge_call_id",
        "judge_cost_usd",
    }
)


def judge_thresholds(
    wanted: Sequence[Mapping[str, Any]], scores: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Each threshold with what was reached; one that nothing was measured for is not met."""
    judged = []
    for threshold in wanted:
        own = [
            entry["mean"]
            for entry in scores
            if all(
                entry[k] == threshold[k] for k in ("scorer", "model", "variant") if k in threshold
            )
        ]
        known = [mean for mean in own if mean is not None]
        passed = bool(known) and len(known) == len(own)
        if "at_least" in threshold:
            passed = passed and min(known) >= threshold["at_least"]
        if "at_most" in threshold:
            passed = passed and max(known) <= threshold["at_most"]
        judged.append({**threshold, "reached": known, "passed": passed})
    return judged
