"""Run the cases of a suite: record, replay offline, or call the providers.

`find_unused` replays suites to find recordings that no case uses, and cases without one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from toolkit.calls.model_client import ModelClient
from toolkit.errors import CallError, CassetteError, ToolkitError
from toolkit.replay.cassettes.cassette_lint import Finding, find_cassettes
from toolkit.replay.cassettes.open_cassette import OpenCassette
from toolkit.replay.regression.case_attempt import (
    CaseAttempt,
    ask,
    judge_answer,
    measure_reply,
    measured_dict,
    read_measured,
    secrets_of,
)
from toolkit.replay.regression.case_checks import Judgement
from toolkit.replay.regression.suite import FILE_NAME, Case, Suite, load_suite

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRun:
    """All answers of one model to one case.

    Attributes:
        unplayed: recorded exchanges of the case that its replay did not request.
    """

    case: Case
    model: str
    trials: tuple[CaseAttempt, ...]
    unplayed: int = 0

    @property
    def judged(self) -> list[CaseAttempt]:
        """Attempts that could be judged."""
        return [trial for trial in self.trials if trial.passed is not None]

    @property
    def passes(self) -> int:
        """Number of passed attempts."""
        return sum(trial.passed is True for trial in self.trials)

    @property
    def failing(self) -> list[Judgement]:
        """The failed checks, once each."""
        found = {j.check: j for t in self.trials for j in t.judgements if j.passed is False}
        return list(found.values())


def replay_suite(toolkit: ModelClient, suite: Suite, *, run_id: str) -> list[CaseRun]:
    """Replay every case from its cassette; nothing leaves the process."""
    secrets = secrets_of(toolkit)
    runs: list[CaseRun] = []
    for case in suite.cases:
        path = suite.cassette_of(case)
        opened = OpenCassette(path, name=case.name, mode="replay", secrets=secrets)
        runs += _replay_case(toolkit, case, opened, run_id)
    return runs


def _replay_case(
    toolkit: ModelClient, case: Case, opened: OpenCassette, run_id: str
) -> Iterator[CaseRun]:
    trials: dict[str, CaseAttempt] = {}
    try:
        with opened:
            recorded = opened.metadata.get("measured")
            for model in case.models:
                reply, error = ask(
                    toolkit, case, model, options={"origin_id": run_id}, is_live=False
                )
                found = recorded.get(model) if isinstance(recorded, dict) else None
                trials[model] = judge_answer(case, reply, error, read_measured(found))
            unplayed = len(opened.unplayed)
            opened.misses.clear()  # each miss is the error of its case
    except CassetteError as error:
        unplayed = 0
        trials |= {m: judge_answer(case, None, error, None) for m in case.models if m not in trials}
    for model, trial in trials.items():
        yield CaseRun(case=case, model=model, trials=(trial,), unplayed=unplayed)


def ask_suite(
    toolkit: ModelClient,
    suite: Suite,
    *,
    run_id: str,
    repeats: int,
    concurrency: int = 4,
    progress: Progress | None = None,
) -> list[CaseRun]:
    """Call the providers, `repeats` times per case."""
    wanted = [(case, model) for case in suite.cases for model in case.models]
    done = 0

    def once(case: Case, model: str) -> CaseAttempt:
        nonlocal done
        reply, error = ask(toolkit, case, model, options={"origin_id": run_id}, is_live=True)
        done += 1
        if progress is not None:
            progress(f"asking, {done} of {len(wanted) * repeats} calls")
        return judge_answer(case, reply, error, measure_reply(reply) if reply else None)

    with ThreadPoolExecutor(concurrency) as pool:
        asked = [
            (case, model, [pool.submit(once, case, model) for _ in range(repeats)])
            for case, model in wanted
        ]
        return [
            CaseRun(case=case, model=model, trials=tuple(f.result() for f in futures))
            for case, model, futures in asked
        ]


def record_suite(
    toolkit: ModelClient, suite: Suite, *, run_id: str, progress: Progress | None = None
) -> list[CaseRun]:
    """Call the providers and record the traffic of each case in its cassette.

    Raises:
        CassetteError: a cassette could not be written, or still contains a secret.
        ToolkitError: a call failed unexpectedly; its case is not written.
    """
    runs: list[CaseRun] = []
    for number, case in enumerate(suite.cases, 1):
        if progress is not None:
            progress(f"recording, {number} of {len(suite.cases)}: {case.name}")
        runs += _record_case(toolkit, suite, case, run_id)
    return runs


def _record_case(toolkit: ModelClient, suite: Suite, case: Case, run_id: str) -> Sequence[CaseRun]:
    path = suite.cassette_of(case)
    runs: list[CaseRun] = []
    name = f"{suite.name}/{case.name}"
    with OpenCassette(path, name=name, mode="record", secrets=secrets_of(toolkit)) as opened:
        measured = opened.metadata["measured"] = {}
        for model in case.models:
            reply, error = ask(toolkit, case, model, options={"origin_id": run_id}, is_live=True)
            _require_expected(case, error)
            found = measure_reply(reply) if reply else None
            if found is not None:
                measured[model] = measured_dict(found)
            trial = judge_answer(case, reply, error, found)
            runs.append(CaseRun(case=case, model=model, trials=(trial,)))
    return runs


def _require_expected(case: Case, error: ToolkitError | None) -> None:
    if error is None or (case.expects_error and isinstance(error, CallError)):
        return
    # Not as a CallError: a failure that no check expects must leave no cassette behind.
    raise CassetteError(
        f"{case.name} was not recorded: {error.message}",
        provider=error.provider,
        model=error.model,
        hint=error.hint or "If this failure is the expected outcome, add a check `error: CODE`.",
    ) from None


def find_unused(toolkit: ModelClient, folder: Path) -> list[Finding]:
    """Replay every suite below a folder and report unused or missing recordings.

    Raises:
        InvalidInput: a suite is not valid.
    """
    if not folder.is_dir():
        return []
    suites = sorted(path.parent for path in folder.rglob(FILE_NAME))
    return [finding for path in suites for finding in _look_at(toolkit, load_suite(path))]


def _look_at(toolkit: ModelClient, suite: Suite) -> Iterator[Finding]:
    wanted = {suite.cassette_of(case): case for case in suite.cases}
    for path in find_cassettes(suite.folder):
        if path not in wanted:
            words = f"does not belong to any case of the suite {suite.name}"
            yield Finding(path, "unused", words, is_error=False)
    for path, case in wanted.items():
        if not path.exists():
            words = f"the case {case.name} has no cassette; record it"
            yield Finding(path, "missing", words)
    there = [case.name for path, case in wanted.items() if path.exists()]
    if not there:
        return
    for run in replay_suite(toolkit, suite.only(there), run_id="lint"):
        path = suite.cassette_of(run.case)
        if run.unplayed and run.model == run.case.models[0]:
            yield Finding(path, "unused", f"{run.unplayed} of its exchanges are never requested")
        if run.trials[0].error_code == "CASSETTE_MISSING":
            yield Finding(path, "missing", run.trials[0].error_message)
