"""The words and numbers of the Evals page: cells, scores with intervals, states of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from toolkit.charts.states import call_state
from toolkit.evals.results.cell_values import as_value
from toolkit.evals.results.matrix import AnswerCell
from toolkit.evals.results.run_results import cell_score
from toolkit.evals.results.summary import PEOPLE
from toolkit.ui.components.format import UNKNOWN, as_utc, count, duration, money
from toolkit.ui.components.text import visible

_ROW_CHARS: Final = 88
_FEWEST_CHARS: Final = 24
_NOISE: Final = 1e-9


def sentence_of(run: Mapping[str, Any]) -> str:
    """What a run came to, in the runner's own words."""
    summary = as_value(run["summary"]) or {}
    shown = summary.get("sentence") if isinstance(summary, Mapping) else None
    if shown:
        return str(shown)
    return f"{count(run['done'] or 0)} of {count(run['samples'])} answers."


def best_of(run: Mapping[str, Any]) -> str:
    """The best score of a run's first scorer, with its interval and n."""
    summary = as_value(run["summary"]) or {}
    scores = summary.get("scores", ()) if isinstance(summary, Mapping) else ()
    # More of a measure (a latency, a cost) is not better.
    names = (e["scorer"] for e in scores if not e["scorer"].endswith(("_ms", "_usd")))
    first = next(names, None)
    known = [e for e in scores if e["scorer"] == first and e["mean"] is not None]
    if not known:
        return UNKNOWN
    best = max(known, key=lambda entry: float(entry["mean"]))
    return f"{say_score(best)} {first}"


def say_score(entry: Mapping[str, Any]) -> str:
    """`0.82 [0.74, 0.88] n = 120`."""
    if entry["mean"] is None:
        return UNKNOWN
    low, high = entry["low"], entry["high"]
    return f"{_rounded(entry['mean'])} [{_rounded(low)}, {_rounded(high)}] n = {count(entry['n'])}"


def _rounded(value: float) -> str:
    """Three digits; what floating-point arithmetic leaves of nothing is 0."""
    return "0" if abs(value) < _NOISE else f"{value:.3g}"


def left_words(run: Mapping[str, Any]) -> str:
    """`, 3.2 answers/s, about 2 min left`, from the answers so far; empty with too few of them."""
    done, planned = int(run["done"] or 0), int(run["samples"] or 0)
    if run["newest_at"] is None or run["started_at"] is None or done < 2:
        return ""
    seconds = (as_utc(run["newest_at"]) - as_utc(run["started_at"])).total_seconds()
    if seconds <= 0:
        return ""
    return say_left(done / seconds, (planned - done) / done * seconds)


def say_left(per_s: float, left_s: float) -> str:
    """`, 3.2 answers/s, about 2 min left`."""
    left = f"about {left_s / 60:.0f} min left" if left_s >= 60 else "less than a minute left"
    return f", {per_s:.1f} answers/s, {left}"


def say_cell(cell: Sequence[AnswerCell], scorer: str | None, *, columns: int = 1) -> str:
    """One cell of the matrix: how it was judged, the answer, latency and cost.

    Args:
        cell: the answers of one side to one sample.
        scorer: whose judgement is shown.
        columns: how many sides stand beside one another; with more, less of the answer is shown.
    """
    if not cell:
        return "not run"
    first = next((shown for shown in cell if shown.status == "ok"), cell[0])
    text = first.output if first.status == "ok" else call_state("error", first.error_code).word
    facts = [
        _judged(cell, scorer),
        _rated(cell, scorer),
        _short(text or "", max(_FEWEST_CHARS, _ROW_CHARS // columns)),
    ]
    times = [shown.duration_ms for shown in cell if shown.duration_ms is not None]
    if times:
        facts.append(duration(sum(times) / len(times)))
    costs = [shown.cost_usd for shown in cell if shown.cost_usd is not None]
    if costs:
        facts.append(money(sum(costs) / len(costs)))
    return " · ".join(fact for fact in facts if fact)


def _rated(cell: Sequence[AnswerCell], scorer: str | None) -> str:
    """What people said, where another scorer is shown: `rated ✕`, or `commented`."""
    found = [rating for shown in cell if (rating := shown.find_judgement(PEOPLE)) is not None]
    if not found or scorer == PEOPLE:
        return ""
    verdicts = [rating for rating in found if rating.score is not None]
    if not verdicts:
        return "commented"
    if len(cell) == 1:
        return f"rated {verdicts[0].mark}"
    return f"rated ✓ {sum(bool(rating.is_pass) for rating in verdicts)} of {len(verdicts)}"


def _judged(cell: Sequence[AnswerCell], scorer: str | None) -> str:
    failed, skipped = (sum(t.status == status for t in cell) for status in ("error", "skipped"))
    if failed == len(cell):
        return "✕ failed"
    if skipped == len(cell):
        return "⏸ skipped"
    judged = [j for shown in cell if (j := shown.find_judgement(scorer)) is not None]
    score = cell_score(cell, scorer)
    lost = f", {failed} failed" if failed else ""
    lost += f", {skipped} skipped" if skipped else ""
    unreadable = sum(j.is_unreadable for j in judged)
    if len(cell) == 1 and unreadable:
        return "? unreadable"
    lost += f", {unreadable} unreadable" if unreadable else ""
    if score is None:
        return ("! not scored" if judged else "") + lost
    if len(cell) == 1:
        return f"{judged[0].mark} {score:.3g}"
    passed = [j.is_pass for j in judged if j.is_pass is not None]
    return (f"✓ {sum(passed)} of {len(cell)}" if passed else f"· {score:.3g}") + lost


def _short(text: str, most: int) -> str:
    line = " ".join(visible(text).split())
    return line if len(line) <= most else line[: most - 1] + "…"
