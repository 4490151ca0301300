"""The lock lives exactly as long as its process, however that ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from toolkit.local.parent_watchdog import hold, is_held

HOLDER = (
    "import sys, pathlib\nfrom toolkit.local.parent_watchdog import hold\n"
    "kept = hold(pathlib.Path(sys.argv[1]))\nprint('held', flush=True)\nsys.stdin.read()"
)


def _holder(path: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    return child


def test_a_killed_process_lets_go_at_once(tmp_path):
    path = tmp_path / "lock"
    child = _holder(path)
    assert is_held(path)
    assert hold(path) is None
    child.kill()
    child.communicate()
    assert not is_held(path)


def test_a_lock_that_nobody_ever_took_is_not_held_and_is_not_made(tmp_path):
    assert not is_held(tmp_path / "lock")
    assert not (tmp_path / "lock").exists()


def test_one_who_only_looks_does_not_keep_it(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    assert not is_held(path)
    kept = hold(path)
    assert kept is not None
    kept.close()
    assert not is_held(path)
