"""Find unused cassettes of a suite: orphans, gaps, exchanges that are never played."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from toolkit.calls.model_client import ModelClient
from toolkit.replay.cassettes.cassette_lint import Finding, find_cassettes
from toolkit.replay.regression.case_runner import replay_suite
from toolkit.replay.regression.suite import FILE_NAME, Suite, load_suite


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
