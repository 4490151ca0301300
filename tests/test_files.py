"""Locks, atomic writes and private files, between real processes."""

from __future__ import annotations

import csv
import io
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit import files
from toolkit.errors import FileLocked, FileUnsafe
from toolkit.files import (
    FileLock,
    csv_of,
    escape_cell,
    is_locked,
    locked,
    read_private,
    unescape_cell,
    write_atomic,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="file modes are POSIX")

HOLD = """
import sys
from pathlib import Path
from toolkit.files import FileLock
lock = FileLock(Path(sys.argv[1]), remove=sys.argv[2] == "remove")
assert lock.acquire()
print("held", flush=True)
sys.stdin.readline()
lock.release()
"""

COUNT = """
import sys
from pathlib import Path
from toolkit.files import locked, write_atomic
path = Path(sys.argv[1])
for _ in range(int(sys.argv[2])):
    with locked(path, 60):
        write_atomic(path, str(int(path.read_text()) + 1), durable=False)
"""


@contextmanager
def holder(path: Path, how: str = "keep") -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdin is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()
    process.stdin.close()


def test_another_process_is_kept_out_and_named(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    with (
        holder(tmp_path / ".settings.toml.lock") as process,
        pytest.raises(FileLocked, match=f"process {process.pid}"),
        locked(path, 0.05),
    ):
        pass


def test_a_killed_holder_leaves_no_lock_behind(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path) as process:
        assert is_locked(path)
        process.kill()
        process.wait()
        assert not is_locked(path)
        assert FileLock(path).holder() is None
        with FileLock(path) as lock:
            assert lock.acquire()


def test_looking_at_a_lock_neither_makes_nor_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    assert not path.exists()
    path.touch()
    assert not is_locked(path)
    with FileLock(path) as lock:
        assert lock.acquire()
        assert is_locked(path)
    assert not is_locked(path)


def test_two_threads_exclude_each_other(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock") as first, FileLock(tmp_path / "lock") as second:
        assert first.acquire()
        assert not second.acquire()
        first.release()
        assert second.acquire()


def test_waiting_ends_when_the_lock_is_released(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.acquire()
    timer = threading.Timer(0.1, first.release)
    timer.start()
    assert second.acquire(30)
    second.release()
    timer.join()


def test_a_removed_lock_file_is_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = FileLock(path, remove=True)
    assert first.acquire()
    descriptor = os.open(path, os.O_RDWR)  # as one who opened it before it was removed
    first.release()
    assert not path.exists()
    second, third = FileLock(path), FileLock(path)
    assert files.try_lock(descriptor)
    assert second.acquire()
    assert not third.acquire()
    second.release()
    os.close(descriptor)


def test_no_increment_of_many_processes_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_text("0")
    running = [subprocess.Popen([sys.executable, "-c", COUNT, str(path), "40"]) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    assert path.read_text() == "160"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")
    with pytest.raises(RuntimeError), files.atomic_writer(path) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@posix
def test_modes_hold_whatever_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        write_atomic(tmp_path / "deep" / "private", b"x")
        write_atomic(tmp_path / "shared", "text", mode=files.SHARED)
    finally:
        os.umask(previous)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("deep/private", "shared")]
    assert modes == [0o600, 0o644]


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o660])
def test_a_secret_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "vault"
    write_atomic(path, b"secret")
    assert read_private(path) == b"secret"
    path.chmod(mode)
    with pytest.raises(FileUnsafe, match="chmod 600"):
        read_private(path)


@posix
def test_a_link_and_a_folder_are_no_secret_files(tmp_path: Path) -> None:
    write_atomic(tmp_path / "real", b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("link", "."):
        with pytest.raises(FileUnsafe):
            read_private(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_private(tmp_path / "missing")


def test_a_secret_file_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "vault"
    write_atomic(path, b"12345")
    assert read_private(path, limit_bytes=5) == b"12345"
    with pytest.raises(FileUnsafe, match="larger than 4 bytes"):
        read_private(path, limit_bytes=4)


@pytest.mark.parametrize(
    "text",
    [
        "=HYPERLINK(1)",
        "+cmd|' /C calc'!A0",
        "-1+1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "'=1",
        "\uff1d1",
        "--",
    ],
)
def test_no_cell_of_a_csv_file_is_a_formula(text):
    assert escape_cell(text) == "'" + text
    frame = pd.DataFrame([{"a": text, "b": 1.5}, {"a": None, "b": -2.0}])
    rows = list(csv.reader(io.StringIO(csv_of(frame).decode(), newline="")))
    assert [row[0] for row in rows] == ["a", "'" + text, ""]
    assert [row[1] for row in rows] == ["b", "1.5", "-2.0"]
    raw = list(csv.reader(io.StringIO(csv_of(frame, escape=False).decode(), newline="")))
    assert [row[0] for row in raw] == ["a", text, ""], "with the option turned off"


@pytest.mark.parametrize("text", ["", "plain", "-5", "+1.5e-3", "it's", "'quoted'", "a=1"])
def test_what_is_no_formula_stays_as_it_is(text):
    assert escape_cell(text) == text


@pytest.mark.parametrize("sign", [*"\u061c\u200e\u200f\u202a\u202d\u202e\u2066\u2069"])
def test_what_changes_the_direction_is_shown_in_a_cell(sign):
    written = f"\\u{ord(sign):04x}"
    assert escape_cell(f"a{sign}b") == f"a{written}b"
    frame = pd.DataFrame([{"a": f"x{sign}"}])
    assert written in csv_of(frame).decode() and sign not in csv_of(frame).decode()
    assert sign in csv_of(frame, escape=False).decode()


@given(
    st.text("=+-@'\t\r\n1a"), st.lists(st.sampled_from(["\u202e", "\\u202e", "\\u005c", "\\", "u"]))
)
def test_every_escaped_text_comes_back(text, signs):
    text += "".join(signs)
    assert unescape_cell(escape_cell(text)) == text
