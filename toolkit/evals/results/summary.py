"""What a run came to: a mean with its interval for each model, variant and scorer; in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, Final

from toolkit.evals.scoring.score import UNREADABLE
from toolkit.stats.comparison import (
    POINTS,
    PairedComparison,
    compare_paired,
    flicker,
    holm,
    say_comparison,
)
from toolkit.stats.intervals import SHARE, UNBOUNDED, Scores, mean_interval

Row = Mapping[str, Any]
PEOPLE: Final = "people"
"""The scorer of the ratings that people give."""
Side = tuple[str, str]
"""Model and variant."""


def newest_rows(rows: Iterable[Row]) -> list[Row]:
    """The rows that count: the newest of each answer and scorer; a failed call or one that a cap
    left out only where the answer did not come later. A rating that was taken back does not count.
    """
    newest: dict[tuple[Any, ...], Row] = {}
    for row in sorted(rows, key=lambda row: row["scored_at"]):
        newest[(*_answer(row), row["scorer"])] = row
    answered = {_answer(row) for row in newest.values() if row["scorer"] is not None}
    return [
        row
        for row in newest.values()
        if not _is_taken_back(row)
        and (row["scorer"] is not None or row["status"] == "ok" or _answer(row) not in answered)
    ]


def _is_taken_back(row: Row) -> bool:
    return row["scorer"] == PEOPLE and row["score"] is None and not row["explanation"]


def _answer(row: Row) -> tuple[Any, ...]:
    return row["model"], row["variant"], row["sample_id"], row["epoch"]


def scores_by_side(rows: Iterable[Row], scorer: str) -> dict[Side, Scores]:
    """The scores of one scorer by model and variant: for each sample the scores of its repeats."""
    found: dict[Side, dict[str, list[float]]] = {}
    for row in rows:
        if row["scorer"] == scorer and row["score"] is not None:
            side = found.setdefault((row["model"], row["variant"]), {})
            side.setdefault(row["sample_id"], []).append(float(row["score"]))
    return dict(found)


def scorers_of(rows: Iterable[Row]) -> list[str]:
    """The scorers in the rows, in their order."""
    return list(dict.fromkeys(row["scorer"] for row in rows if row["scorer"] is not None))


def summarize(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One entry per model, variant and scorer.

    Returns:
        `model`, `variant`, `scorer`, `mean` with `low` and `high` (95 %, see
        `intervals.mean_interval`), `n` samples, `answers` scored,
        `unscored` answers that the scorer could not judge, `unreadable` answers that gave nothing
        to compare (they score 0), `failed` calls, answers `skipped` by a
        cap (neither has a score), `flicker` (share of samples whose repeats differ; None without
        repeats).
    """
    entries = []
    for scorer in scorers_of(rows):
        sides = scores_by_side(rows, scorer)
        unit = unit_of(scorer, sides.values())
        within = SHARE if unit is None else UNBOUNDED
        for side in dict.fromkeys((row["model"], row["variant"]) for row in rows):
            scores = sides.get(side, {})
            mean, changes = mean_interval(scores, within=within), flicker(scores)
            own = [row for row in rows if (row["model"], row["variant"]) == side]
            entries.append(
                {
                    "model": side[0],
                    "variant": side[1],
                    "scorer": scorer,
                    "mean": mean.value if mean.n else None,
                    # Few values of a wide spread reach below nothing; no time or cost does.
                    "low": (max(mean.low, 0.0) if unit else mean.low) if mean.n else None,
                    "high": mean.high if mean.n else None,
                    "n": mean.n,
                    "answers": sum(len(values) for values in scores.values()),
                    "unscored": sum(r["scorer"] == scorer and r["score"] is None for r in own),
                    "unreadable": sum(
                        r["scorer"] == scorer and r["error_code"] == UNREADABLE for r in own
                    ),
                    "failed": count_status(own, "error"),
                    "skipped": count_status(own, "skipped"),
                    "flicker": changes.value if changes.n else None,
                }
            )
    return entries


def count_status(rows: Iterable[Row], status: str) -> int:
    """Answers that never came: the call failed (`error`), or a cap left them out (`skipped`)."""
    return sum(row["scorer"] is None and row["status"] == status for row in rows)


def count_codes(rows: Iterable[Row]) -> dict[str, int]:
    """How often each error code occurs in the rows, most frequent first; what a cap left out is
    no error.
    """
    codes = (row["error_code"] for row in rows if row["status"] == "error" and row["error_code"])
    return dict(Counter(codes).most_common())


def compare_sides(rows: Sequence[Row], scorer: str) -> list[dict[str, Any]]:
    """Every pair of model and variant against each other on the samples that both have.

    Returns:
        One entry per pair: `a`, `b`, `sentence`, `difference`, `low`, `high`, `p_value`,
        `p_adjusted` (Holm over all pairs), `effect`, `smallest_detectable`, `n`, `test`.
    """
    sides = scores_by_side(rows, scorer)
    pairs = [(a, b) for a, b in combinations(sides, 2) if sides[a].keys() & sides[b].keys()]
    unit = unit_of(scorer, sides.values())
    results = [compare_by_unit(sides[a], sides[b], unit) for a, b in pairs]
    adjusted = holm([result.p_value for result in results])
    names = short_names(list(sides))
    return [
        describe(result, names[a], names[b], p, unit=unit)
        for (a, b), result, p in zip(pairs, results, adjusted, strict=True)
    ]


def compare_by_unit(a: Scores, b: Scores, unit: str | None) -> PairedComparison:
    """`compare_paired` with the bounds that scores (no unit) have, and measures have not."""
    return compare_paired(a, b, within=POINTS if unit is None else UNBOUNDED)


def describe(
    result: PairedComparison,
    name_a: str,
    name_b: str,
    p_adjusted: float | None = None,
    *,
    unit: str | None = None,
) -> dict[str, Any]:
    """One comparison as plain values, and in words."""
    d = result.difference
    return {
        "a": name_a,
        "b": name_b,
        "sentence": say_comparison(result, name_a, name_b, unit=unit),
        "difference": d.value,
        "low": d.low,
        "high": d.high,
        "p_value": result.p_value,
        "p_adjusted": result.p_value if p_adjusted is None else p_adjusted,
        "effect": result.effect,
        "smallest_detectable": result.smallest_detectable,
        "n": d.n,
        "test": result.test,
    }


def unit_of(scorer: str, sides: Iterable[Scores]) -> str | None:
    """The unit of a measure, by its name; None for scores, which lie between 0 and 1.

    A measure under a name of its own is known by values outside that range, and has no unit ("").
    """
    for end, unit in (("_ms", "ms"), ("_usd", "USD")):
        if scorer.endswith(end):
            return unit
    values = (value for scores in sides for repeats in scores.values() for value in repeats)
    return None if all(0 <= value <= 1 for value in values) else ""


def short_names(sides: Sequence[Side]) -> dict[Side, str]:
    """What to call each side: the model, the variant, or both, as it takes to distinguish them."""
    models, variants = {side[0] for side in sides}, {side[1] for side in sides}
    if len(variants) == 1:
        return {side: side[0] for side in sides}
    if len(models) == 1:
        return {side: side[1] for side in sides}
    return {side: f"{side[0]} ({side[1]})" for side in sides}
