"""One line on stderr that says what is going on while something takes its time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from toolkit.cli.output import notice, plain

_CLEAR = "\r\x1b[2K"


@contextmanager
def status_line() -> Iterator[Callable[[str], None]]:
    """A function that shows a text: rewritten in place on a terminal, else printed once a stage.

    A stage is the text before its first comma; what follows may change many times a second.
    """
    if not sys.stderr.isatty():
        yield _printer()
        return
    try:
        yield lambda text: print(f"{_CLEAR}{plain(text)}", end="", file=sys.stderr, flush=True)
    finally:
        print(_CLEAR, end="", file=sys.stderr, flush=True)


def _printer() -> Callable[[str], None]:
    last = ""

    def show(text: str) -> None:
        nonlocal last
        stage = text.split(",", 1)[0]
        if stage != last:
            notice(f"{stage} ...")
            last = stage

    return show
