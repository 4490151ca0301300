"""Runs of a suite: run the cases, judge, compare, report and record; list what was recorded.

A run is written as JUnit XML, or as one HTML file that loads and runs nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

from toolkit.calls.model_client import ModelClient
from toolkit.display import Card, Shown
from toolkit.errors import StoreError
from toolkit.evals.exchange.xml_text import clean_xml
from toolkit.evals.results.one_file import report_environment
from toolkit.replay.cassettes.scrub import Scrubber
from toolkit.replay.regression.baseline import Accepted, Mode, accept_runs, load_baseline, versions
from toolkit.replay.regression.case_attempt import prompt_digest, secrets_of
from toolkit.replay.regression.case_runner import (
    CaseRun,
    Progress,
    ask_suite,
    record_suite,
    replay_suite,
)
from toolkit.replay.regression.suite import Suite, load_suite
from toolkit.replay.regression.verdict import (
    VERDICTS,
    CaseVerdict,
    Comparison,
    compare_with_baseline,
    judge_run,
)
from toolkit.replay.regression.word_diff import diff_words
from toolkit.store.queries.query import Source
from toolkit.store.queries.regressions import (
    flaky_cases,
    model_changes_since,
    regression_cases,
    regression_runs,
)

if TYPE_CHECKING:
    import pandas as pd
    from jinja2 import Template

# Changes around a case since its baseline: the prompt, the model, or the catalog.
# Shown with a live verdict, to distinguish a changed model from a changed prompt.


def find_drift(toolkit: ModelClient, run: CaseRun, accepted: Accepted) -> tuple[str, ...]:
    """The facts that differ from the baseline, as sentences."""
    return (*_own_changes(run, accepted), *_catalog_changes(toolkit, run.model, accepted))


def _own_changes(run: CaseRun, accepted: Accepted) -> Iterator[str]:
    if prompt_digest(run.case) != accepted.prompt:
        yield "the prompt or its parameters changed"
    for name in ("response_model", "system_fingerprint"):
        now = {getattr(trial, name) for trial in run.judged} - {None}
        before = getattr(accepted, name)
        if now and before is not None and now != {before}:
            label = name.replace("_", " ")
            yield f"{label} {before} became {', '.join(sorted(map(str, now)))}"
    for name, version in versions().items():
        if getattr(accepted, name) != version:
            yield f"{name.split('_')[0]} {getattr(accepted, name)} became {version}"


def _catalog_changes(toolkit: ModelClient, model: str, accepted: Accepted) -> Iterator[str]:
    try:
        rows = model_changes_since(model, accepted.accepted_at).rows(toolkit.store)
    except StoreError as error:
        yield f"the catalog's changes could not be read ({error.message})"
        return
    for row in rows:
        what = f"{row['field']}: {row['old']} became {row['new']}" if row["field"] else row["kind"]
        yield f"catalog, {row['changed_at']:%Y-%m-%d}: {what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteRun(Shown):
    """A judged run of a suite.

    Attributes:
        run_id: its id, and the `origin_id` of its calls.
        mode: `replay` (did your code change?) or `live` (did the model change?).
        verdicts: one for each case and model.
        comparison: now against the baseline; None without one, and in replay.
        accepted: number of outcomes accepted by this run.
        max_regressed: accepted number of regressed cases.
    """

    run_id: str
    suite: str
    mode: Mode
    started_at: datetime
    verdicts: tuple[CaseVerdict, ...]
    comparison: Comparison | None = None
    accepted: int = 0
    max_regressed: int = 0

    @property
    def counts(self) -> Mapping[str, int]:
        """Cases by verdict."""
        return Counter(verdict.verdict for verdict in self.verdicts)

    @property
    def passed(self) -> bool:
        """Whether the suite passes: no error, no new case that fails, few enough regressed."""
        failing = [verdict for verdict in self.verdicts if verdict.is_failing]
        regressed = [verdict for verdict in failing if verdict.verdict == "regressed"]
        if self.accepted:
            return all(verdict.verdict != "error" for verdict in failing)
        return len(failing) == len(regressed) <= self.max_regressed

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        counts = self.counts
        parts = [f"{counts[name]} {name}" for name in VERDICTS if counts.get(name)]
        fails = sum(v.verdict == "pass" and v.run.passes == 0 for v in self.verdicts)
        if fails:
            parts[-1] += f" ({fails} of them fail as accepted)"
        if (found := self.comparison) is not None:
            parts.append(f"p = {found.p_value:.2g}")
            smallest = found.smallest_visible
            parts.append(
                "too few cases to detect a change"
                if smallest is None
                else f"smallest detectable change: {smallest:.1%}".replace("%", " %")
            )
        return ", ".join(parts)

    def _card(self) -> Card:
        return Card(
            title=f"{self.suite} ({self.mode}): {'passed' if self.passed else 'failed'}",
            text=self.sentence,
            rows=[
                {
                    "case": verdict.run.case.name,
                    "model": verdict.run.model,
                    "verdict": verdict.verdict,
                    "reason": verdict.reason,
                }
                for verdict in self.verdicts
            ],
        )

    def __str__(self) -> str:
        return f"{self.suite} ({self.mode}): {self.sentence}"

    def frame(self) -> pd.DataFrame:
        """One row per case and model: verdict, passes, repeats, reason, answer."""
        import pandas as pd

        return pd.DataFrame([verdict_facts(verdict) for verdict in self.verdicts])


def verdict_facts(verdict: CaseVerdict) -> dict[str, Any]:
    """A verdict as plain values, for tables and `--json`."""
    run = verdict.run
    trial = (run.judged or run.trials)[0]
    return {
        "case": run.case.name,
        "model": run.model,
        "verdict": verdict.verdict,
        "passes": run.passes,
        "repeats": len(run.trials),
        "reason": verdict.reason,
        "drift": list(verdict.drift),
        "unplayed": run.unplayed,
        "answer": trial.shown,
        "accepted_answer": verdict.accepted.shown if verdict.accepted else None,
        "call_id": trial.call_id,
    }


def run_regression(
    toolkit: ModelClient,
    suite: str | Path | Suite,
    *,
    live: bool = False,
    repeats: int | None = None,
    accept: bool = False,
    only: Sequence[str] = (),
    progress: Progress | None = None,
) -> SuiteRun:
    """Run a suite, judge it against its baseline, and write a row per case into `regressions`.

    Args:
        toolkit: the toolkit.
        suite: its folder, or its name in `cassettes/`.
        live: call the providers, which may cost money; else replay the cassettes.
        repeats: live calls per case; None: that of the suite.
        accept: accept the outcomes as the baseline.
        only: names of the cases to run; all when empty.
        progress: called with a description of the progress.

    Raises:
        InvalidInput: the suite is not valid.
    """
    loaded = (suite if isinstance(suite, Suite) else load_suite(suite)).only(only)
    run_id, started_at = _new_id(), datetime.now(UTC)
    mode: Mode = "live" if live else "replay"
    baseline = load_baseline(loaded.baseline_path, mode)
    if live:
        count = loaded.repeats if repeats is None else repeats
        runs = ask_suite(toolkit, loaded, run_id=run_id, repeats=count, progress=progress)
    else:
        runs = replay_suite(toolkit, loaded, run_id=run_id)
    verdicts = [
        _judge(toolkit, run, baseline.get((run.case.name, run.model)), loaded.alpha, mode)
        for run in runs
    ]
    comparison = compare_with_baseline(runs, baseline, alpha=loaded.alpha) if live else None
    scrubber = Scrubber(secrets_of(toolkit))
    accepted = accept_runs(loaded.baseline_path, mode, runs, scrubber) if accept else 0
    done = SuiteRun(
        run_id=run_id,
        suite=loaded.name,
        mode=mode,
        started_at=started_at,
        verdicts=tuple(verdicts),
        comparison=comparison,
        accepted=accepted,
        max_regressed=loaded.max_regressed,
    )
    toolkit.store.append_many("regressions", [_row(done, verdict) for verdict in done.verdicts])
    return done


def record_regression(
    toolkit: ModelClient,
    suite: str | Path,
    *,
    only: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[CaseRun]:
    """Record the cassettes of a suite; this calls the providers and may cost money."""
    loaded = load_suite(suite).only(only)
    return record_suite(toolkit, loaded, run_id=_new_id(), progress=progress)


def _judge(
    toolkit: ModelClient, run: CaseRun, accepted: Accepted | None, alpha: float, mode: Mode
) -> CaseVerdict:
    verdict = judge_run(run, accepted, alpha=alpha)
    if mode == "live" and accepted is not None:
        return replace(verdict, drift=find_drift(toolkit, run, accepted))
    return verdict


def _row(done: SuiteRun, verdict: CaseVerdict) -> dict[str, Any]:
    run, accepted = verdict.run, verdict.accepted
    trial = (run.judged or run.trials)[0]
    measured = trial.measured
    return {
        "verdict_id": _new_id(),
        "run_id": done.run_id,
        "judged_at": done.started_at,
        "suite": done.suite,
        "case_name": run.case.name,
        "verdict": verdict.verdict,
        "mode": done.mode,
        "provider": run.model.partition("/")[0],
        "model": run.model,
        "call_id": trial.call_id,
        "expected": {"shown": accepted.shown if accepted else None},
        "actual": {"shown": trial.shown},
        "difference": verdict.reason,
        "duration_ms": measured.duration_ms if measured else None,
        "repeats": len(run.trials),
        "passes": run.passes,
        "error_code": trial.error_code,
        "details": _details(verdict),
    }


def _details(verdict: CaseVerdict) -> dict[str, Any]:
    run, accepted = verdict.run, verdict.accepted
    return {
        "checks": [
            {"check": j.check, "passed": j.passed, "reason": j.reason}
            for j in (run.judged or run.trials)[0].judgements
        ],
        "drift": list(verdict.drift),
        "unplayed": run.unplayed,
        "accepted_passes": accepted.passes if accepted else None,
        "accepted_repeats": accepted.repeats if accepted else None,
        "costs_usd": [
            str(t.measured.cost_usd)
            for t in run.trials
            if t.measured and isinstance(t.measured.cost_usd, Decimal)
        ],
    }


def _new_id() -> str:
    from uuid_utils import uuid7

    return str(uuid7())


RUNS_SHOWN: Final = 200


def list_runs(store: Source, limit: int = RUNS_SHOWN) -> list[dict[str, Any]]:
    """Runs, newest first: suite, mode, when, and how many cases have which verdict."""
    return regression_runs(limit).rows(store)


def list_cases(store: Source, run_id: str) -> list[dict[str, Any]]:
    """The verdicts of one run, those that need attention first.

    `expected` and `actual` are the accepted answer and this one (None, text), `checks` and
    `drift` the details of the row.
    """
    return [_case(row) for row in regression_cases(run_id).rows(store)]


def list_flaky(store: Source) -> list[dict[str, Any]]:
    """Cases that were flaky in a live run, the worst first, with their share of passes."""
    return flaky_cases().rows(store)


def _case(row: Mapping[str, Any]) -> dict[str, Any]:
    details = _read(row["details"])
    return {
        **row,
        "expected": _read(row["expected"]).get("shown"),
        "actual": _read(row["actual"]).get("shown"),
        "checks": details.get("checks", []),
        "drift": details.get("drift", []),
    }


def _read(text: str | None) -> dict[str, Any]:
    value = json.loads(text) if text else {}
    return value if isinstance(value, dict) else {}


MARKS: Final = {
    "regressed": "▼",
    "error": "✕",
    "fixed": "▲",
    "flaky": "≈",
    "new": "＋",
    "pass": "✓",
}
"""A symbol for each verdict, so that colour is not the only distinction."""


@cache
def _template() -> Template:
    return report_environment(Path(__file__).parent).get_template("report.html.j2")


def render_report(run: SuiteRun) -> str:
    """The HTML text; cases that need attention come first."""
    order = {name: place for place, name in enumerate(VERDICTS)}
    verdicts = sorted(run.verdicts, key=lambda v: (order[v.verdict], v.name))
    return _template().render(
        run=run, verdicts=verdicts, order=VERDICTS, marks=MARKS, diff=diff_words
    )


def render_junit(run: SuiteRun) -> str:
    """The XML text: one test case per verdict; regressed and failing new cases are failures."""
    failures = sum(v.is_failing and v.verdict != "error" for v in run.verdicts)
    errors = sum(v.verdict == "error" for v in run.verdicts)
    suite = ET.Element(
        "testsuite",
        name=clean_xml(f"{run.suite} ({run.mode})"),
        tests=str(len(run.verdicts)),
        failures=str(failures),
        errors=str(errors),
        timestamp=run.started_at.isoformat(timespec="seconds"),
    )
    for verdict in run.verdicts:
        suite.append(_junit_case(run, verdict))
    ET.SubElement(suite, "system-out").text = clean_xml(run.sentence)
    ET.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suite, encoding="unicode")


def _junit_case(run: SuiteRun, verdict: CaseVerdict) -> ET.Element:
    found = verdict.run
    case = ET.Element("testcase", classname=clean_xml(run.suite), name=clean_xml(verdict.name))
    durations = [
        t.measured.duration_ms for t in found.trials if t.measured and t.measured.duration_ms
    ]
    if durations:
        case.set("time", f"{sum(durations) / 1000:.3f}")
    if verdict.is_failing:
        tag = "error" if verdict.verdict == "error" else "failure"
        element = ET.SubElement(case, tag, type=verdict.verdict, message=clean_xml(verdict.reason))
        element.text = clean_xml(
            "\n".join((*verdict.drift, (found.judged or found.trials)[0].shown))
        )
    elif verdict.verdict != "pass":
        ET.SubElement(case, "system-out").text = clean_xml(f"{verdict.verdict}: {verdict.reason}")
    return case
