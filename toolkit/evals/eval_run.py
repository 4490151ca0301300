"""One evaluation: its summary, its rows, its transcripts, and how it compares to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toolkit.display import Card, Shown
from toolkit.errors import InvalidInput
from toolkit.evals.results.cell_values import as_value
from toolkit.evals.results.people import agreement_with_people, rating_row
from toolkit.evals.results.summary import (
    compare_by_unit,
    describe,
    newest_rows,
    scorers_of,
    scores_by_side,
    short_names,
    unit_of,
)
from toolkit.stats.agreement import Agreement, Weights, cohens_kappa, pass_at_k
from toolkit.stats.comparison import holm
from toolkit.stats.intervals import SHARE, mean_interval
from toolkit.store.queries import evals as queries

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRun(Shown):
    """One evaluation.

    Attributes:
        run_id: its id, `origin_id` of its calls.
        name: for people.
        status: `running`, `interrupted` (its process ended: resume it), `done`, `stopped` (by a
            cap or a user) or `failed` (no answer came).
        summary: `sentence`, `scores`, `comparisons` by scorer, `errors` by code, `thresholds`.
        facts: its row of `eval_runs`.
    """

    run_id: str
    name: str
    status: str
    summary: Mapping[str, Any]
    facts: Mapping[str, Any]
    store: Store

    @property
    def passed(self) -> bool:
        """Whether it ended with answers and every threshold is met."""
        thresholds = self.summary.get("thresholds", ())
        return self.status == "done" and all(entry["passed"] for entry in thresholds)

    def rows(self) -> list[dict[str, Any]]:
        """The rows that count: the newest per answer and scorer."""
        rows = [dict(row) for row in newest_rows(queries.sample_rows(self.store, self.run_id))]
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

    def transcript(
        self,
        sample_id: str,
        *,
        model: str | None = None,
        variant: str | None = None,
        epoch: int = 1,
    ) -> list[dict[str, Any]]:
        """Every call made for a sample, oldest first: messages, answer, tool calls, scorer.

        Args:
            sample_id: the sample.
            model, variant: of the answer; None: the first that the run has.
            epoch: which repeat.

        Raises:
            InvalidInput: the run has no such sample.
        """
        rows = self._rows_of(sample_id, model, variant, epoch)
        if not rows:
            raise InvalidInput(
                f"the run {self.name!r} has no answer to the sample {sample_id!r}",
                hint="Sample ids are in the column `sample_id` of `toolkit eval export`.",
            )
        first = rows[0]
        own = [r for r in rows if (r["model"], r["variant"]) == (first["model"], first["variant"])]
        known = {r[key] for r in own for key in ("call_id", "judge_call_id") if r[key]}
        calls = queries.sample_calls(
            self.store,
            self.run_id,
            sample_id=sample_id,
            variant=first["variant"] or "",
            epoch=epoch,
            call_ids=sorted(known),
        )
        judges = {r["judge_model"] for r in own}
        kept = [c for c in calls if c["scorer"] or c["model"] in (first["model"], *judges)]
        return [
            {**c, "messages": as_value(c["messages"]), "tool_calls": as_value(c["tool_calls"])}
            for c in kept
        ]

    def pass_at(self, k: int, scorer: str | None = None) -> list[dict[str, Any]]:
        """The chance that one of `k` tries passes, for each model, variant and scorer.

        Needs `epochs` of at least `k`. Source: Chen et al. 2021, eq. 1.

        Returns:
            One mapping each: `model`, `variant`, `scorer`, `k`, `value` with `low` and `high`
            (95 %), `n` samples with enough repeats.

        Raises:
            InvalidInput: no sample has `k` repeats that passed or failed.
        """
        rows = self.rows()
        found = []
        for name in [scorer] if scorer else scorers_of(rows):
            for (model, variant), scores in scores_by_side(rows, name).items():
                tried = {
                    sample: [pass_at_k([value >= 1 for value in values], k)]
                    for sample, values in scores.items()
                    if len(values) >= k and set(values) <= {0.0, 1.0}
                }
                if tried:
                    mean = mean_interval(tried, within=SHARE)
                    found.append(
                        {"model": model, "variant": variant, "scorer": name, "k": k}
                        | {"value": mean.value, "low": mean.low, "high": mean.high, "n": mean.n}
                    )
        if not found:
            raise InvalidInput(
                f"no sample of the run {self.name!r} has {k} repeats that passed or failed",
                hint=f"Run it with `epochs` of at least {k}.",
            )
        return found

    def agreement(
        self,
        labels: Mapping[str, Any],
        scorer: str,
        *,
        model: str | None = None,
        weights: Weights = "none",
    ) -> Agreement:
        """How far a scorer, a judge for example, agrees with people: Cohen's kappa.

        Args:
            labels: what people decided, by sample id, in the scorer's own values (True and False
                where it passes or fails).
            scorer: whose scores.
            model: of the answers; None: all, where each sample has one answer.
            weights: `linear` or `quadratic` for graded scores.

        Raises:
            InvalidInput: they have no sample in common, or one has several answers.
        """
        scores: dict[str, float] = {}
        for row in self.rows():
            if row["scorer"] != scorer or row["score"] is None or model not in (None, row["model"]):
                continue
            if row["sample_id"] in scores:
                raise InvalidInput(
                    f"the sample {row['sample_id']!r} has several answers",
                    hint="Name the model, and label a run with one variant and one repeat.",
                )
            scores[row["sample_id"]] = float(row["score"])
        people = {sample: float(label) for sample, label in labels.items()}
        if not scores.keys() & people.keys():
            raise InvalidInput(f"no labelled sample has a score of {scorer!r}")
        return cohens_kappa(people, scores, weights=weights)

    def rate(
        self,
        sample_id: str,
        is_good: bool | None,
        *,
        comment: str = "",
        model: str | None = None,
        variant: str | None = None,
        epoch: int = 1,
    ) -> None:
        """Rate an answer; ratings are kept as scores of the scorer `people`.

        Args:
            sample_id: the sample.
            is_good: the verdict; None with a comment: a remark without a verdict; None without
                one: the earlier rating is taken back.
            comment: a remark.
            model, variant: of the answer; None: the run's only one.
            epoch: which repeat.

        Raises:
            InvalidInput: there is no such answer, or several.
            StoreError: the rating could not be recorded.
        """
        rows = self._rows_of(sample_id, model, variant, epoch)
        if len({(row["model"], row["variant"]) for row in rows}) != 1:
            raise InvalidInput(
                f"the sample {sample_id!r} of the run {self.name!r} has "
                f"{'several answers' if rows else 'no such answer'}",
                hint="Name the sample, the model and the variant as `rows()` has them.",
            )
        self.store.append("eval_samples", rating_row(rows[0], is_good, comment))

    def _rows_of(
        self, sample_id: str, model: str | None, variant: str | None, epoch: int
    ) -> list[dict[str, Any]]:
        """The rows of a sample's answers; None: of every model, of every variant."""
        return [
            row
            for row in self.rows()
            if row["sample_id"] == sample_id
            and row["epoch"] == epoch
            and model in (None, row["model"])
            and variant in (None, row["variant"] or "")
        ]

    def agreement_with_people(self) -> dict[str, Agreement]:
        """Cohen's kappa of each scorer with the ratings of people, over the answers both judged."""
        return agreement_with_people(self.rows())

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

    def _card(self) -> Card:
        columns = (
            *("model", "variant", "scorer", "mean", "low", "high", "n", "answers"),
            *("unreadable", "unscored", "failed", "skipped"),
        )
        return Card(
            title=f"{self.name or self.run_id} ({self.status})",
            text=str(self),
            rows=[
                {column: entry.get(column) for column in columns}
                for entry in self.summary.get("scores", ())
            ],
            notes=[f"{code}: {n}" for code, n in self.summary.get("errors", {}).items()],
        )

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
