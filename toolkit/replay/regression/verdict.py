"""Verdicts from outcomes: pass, regressed, fixed, flaky, new or error, with their statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, comb, log2
from typing import Final, Literal

from toolkit.replay.regression.baseline import Accepted, Baseline
from toolkit.replay.regression.case_runner import CaseRun

Verdict = Literal["pass", "regressed", "fixed", "flaky", "new", "error"]
VERDICTS: Final[tuple[Verdict, ...]] = ("regressed", "error", "fixed", "flaky", "new", "pass")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseVerdict:
    """The verdict on one case and model.

    Attributes:
        reason: which checks fail, or why it could not be judged.
        accepted: the accepted outcome; None if it is new.
        drift: changes since then, as text.
    """

    run: CaseRun
    verdict: Verdict
    reason: str
    accepted: Accepted | None = None
    drift: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Case and model."""
        return f"{self.run.case.name} [{self.run.model}]"

    @property
    def is_failing(self) -> bool:
        """Whether it makes the run fail, thresholds aside."""
        fails_new = self.verdict == "new" and self.run.passes < len(self.run.judged)
        return self.verdict in ("regressed", "error") or fails_new


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison with the baseline, over the cases that both have.

    Attributes:
        cases: number of cases.
        difference, low, high: change of the share of passes, with its 95 % interval from a
            bootstrap over whole cases.
        p_value: exact McNemar if every case passed or failed as a whole, else from the paired
            bootstrap.
        test: which of the two was used.
        smallest_visible: smallest change of that share that can reach the level.
    """

    cases: int
    difference: float
    low: float
    high: float
    p_value: float
    test: str
    smallest_visible: float | None


def judge_run(run: CaseRun, accepted: Accepted | None, *, alpha: float) -> CaseVerdict:
    """The verdict on one case.

    With repeats, a case that passes sometimes is flaky, unless its share of passes differs
    from the accepted one at the level `alpha` (Fisher's exact test, one-sided).
    """
    n, passes = len(run.judged), run.passes
    if n == 0:
        first = run.trials[0]
        words = f"{first.error_code}: {first.error_message}"
        return CaseVerdict(run=run, verdict="error", reason=words, accepted=accepted)
    failing = "; ".join(f"{j.check} ({j.reason})" if j.reason else j.check for j in run.failing)
    if accepted is None:
        words = failing or "no outcome is accepted yet"
        return CaseVerdict(run=run, verdict="new", reason=words)
    verdict = _compare(passes, n, accepted, alpha)
    if verdict == "pass" and passes == 0:
        failing = f"fails as accepted: {failing}"
    elif 0 < passes < n:
        failing = f"{passes} of {n} pass; {failing}"
    return CaseVerdict(run=run, verdict=verdict, reason=failing, accepted=accepted)


def _compare(passes: int, n: int, accepted: Accepted, alpha: float) -> Verdict:
    was_passes, was_n = accepted.passes, accepted.repeats
    if passes in (0, n) and was_passes in (0, was_n):
        if (passes == n) == (was_passes == was_n):
            return "pass"
        return "fixed" if passes == n else "regressed"
    if fisher_less(passes, n, was_passes, was_n) < alpha:
        return "regressed"
    if fisher_less(was_passes, was_n, passes, n) < alpha:
        return "fixed"
    return "pass" if passes == n else "flaky"


def fisher_less(passes: int, n: int, other_passes: int, other_n: int) -> float:
    """One-sided p of Fisher's exact test: the probability of so few passes if nothing differs.

    Source: Fisher 1935; the lower tail of the hypergeometric distribution.
    """
    total, all_passes = n + other_n, passes + other_passes
    lowest = max(0, all_passes - other_n)
    tail = sum(comb(n, k) * comb(other_n, all_passes - k) for k in range(lowest, passes + 1))
    return tail / comb(total, all_passes)


def compare_with_baseline(
    runs: Sequence[CaseRun], baseline: Baseline, *, alpha: float
) -> Comparison | None:
    """Compare all judged cases with their accepted outcomes in pairs; None without a pair."""
    from toolkit.stats.comparison import compare_paired

    before: dict[str, list[float]] = {}
    now: dict[str, list[float]] = {}
    for run in runs:
        accepted = baseline.get((run.case.name, run.model))
        if accepted is not None and run.judged and accepted.repeats:
            key = f"{run.case.name}\n{run.model}"
            before[key] = [accepted.passes / accepted.repeats]
            now[key] = [run.passes / len(run.judged)]
    if not now:
        return None
    paired = compare_paired(before, now)
    return Comparison(
        cases=len(now),
        difference=paired.difference.value,
        low=paired.difference.low,
        high=paired.difference.high,
        p_value=paired.p_value,
        test=paired.test,
        smallest_visible=find_smallest_visible(len(now), alpha),
    )


def find_smallest_visible(cases: int, alpha: float) -> float | None:
    """The smallest change, as a share of the cases, that an exact McNemar test can detect.

    If all d changed cases change the same way, p = 2 / 2^d: at 5 % that takes d = 6 cases.
    None if the suite has fewer cases than that.
    """
    needed = ceil(1 - log2(alpha))
    return needed / cases if needed <= cases else None
