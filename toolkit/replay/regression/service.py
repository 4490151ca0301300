"""Regression suites over the toolkit: `tk.regress`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.toolkit import current

if TYPE_CHECKING:
    from toolkit.replay.regression.suite_run import SuiteRun


def regress(
    suite: str | Path,
    *,
    live: bool = False,
    repeats: int | None = None,
    accept: bool = False,
    only: Sequence[str] = (),
) -> SuiteRun:
    """Run a regression suite and compare it with its accepted baseline.

    Args:
        suite: its folder, or its name in `cassettes/`.
        live: ask the providers again (this may cost money); else replay, offline and without a
            key, from the cassettes.
        repeats: how often each case is asked live; None: as the suite says.
        accept: make the outcomes the new baseline.
        only: names of the cases to run; all when empty.

    Returns:
        The run: `verdicts`, `counts`, `sentence`, `passed`, `frame()`.

    Raises:
        toolkit.errors.InvalidInput: the suite or one of its cases is not in order.
    """
    from toolkit.replay.regression.suite_run import run_regression

    return run_regression(current(), suite, live=live, repeats=repeats, accept=accept, only=only)
