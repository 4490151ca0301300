"""Starts a process in a group of its own: Ctrl-C in the terminal is meant for the command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO


def start_detached(
    command: Sequence[str],
    *,
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command`, which reads nothing and does not receive the terminal's signals.

    Args:
        command: program and arguments; no shell reads them.
        stdout, stderr: as for `subprocess.Popen`.
        cwd: folder it runs in.
    """
    return subprocess.Popen(  # noqa: S603 - our own interpreter and modules
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        cwd=cwd,
        start_new_session=sys.platform != "win32",
        creationflags=_windows_flags(),
    )


def _windows_flags() -> int:
    if sys.platform != "win32":
        return 0
    return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
