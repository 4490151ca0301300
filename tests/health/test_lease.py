"""The lease: one holder at a time, also between processes, and somebody else's after a kill."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from toolkit.health.monitoring.lease import Lease, read_holder

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]

# Holds or waits for ever, and writes a line whenever it finds that it holds the lease.
_CONTENDER = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from toolkit.health.monitoring.lease import Lease
lease = Lease(Path(sys.argv[1]), "test", 2.0)
while True:
    if lease.hold(datetime.now(UTC)):
        print("holds", flush=True)
    time.sleep(0.2)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "home" / "health-lease.json"


def after(seconds):
    return NOW + timedelta(seconds=seconds)


def test_the_first_one_has_it_until_it_gives_it_back(path):
    first, second = Lease(path, "app"), Lease(path, "watch")
    assert first.hold(NOW)
    assert not second.hold(after(1))
    assert first.hold(after(20))
    assert not second.hold(after(40))
    first.release()
    assert second.hold(after(41))
    assert read_holder(path).what == "watch"


def test_one_that_is_not_renewed_is_taken_over_and_its_holder_finds_out(path):
    stuck, other = Lease(path, "app"), Lease(path, "watch")
    stuck.hold(NOW)
    assert not other.hold(after(29))
    assert other.hold(after(30))
    assert not stuck.hold(after(31))
    stuck.release()
    assert other.is_mine(read_holder(path))


def test_a_clock_that_was_set_back_does_not_leave_it_taken_for_ever(path):
    Lease(path, "app").hold(NOW)
    assert Lease(path, "watch").hold(NOW - timedelta(days=3))


def test_it_tells_who_probes_and_when(path):
    lease = Lease(path, "app")
    lease.hold(NOW, next_at={"acme": after(5)}, is_offline=True)
    holder = read_holder(path)
    assert (holder.pid, holder.what, holder.since) == (os.getpid(), "app", NOW)
    assert (holder.next_at, holder.is_offline) == ({"acme": after(5)}, True)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"token": 1}', b"\xff"])
def test_a_damaged_file_is_nobodys_lease(path, content):
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    path.chmod(0o600)
    assert read_holder(path) is None
    assert Lease(path, "app").hold(NOW)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_the_file_is_private(path):
    Lease(path, "app").hold(NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_between_processes_one_holds_and_after_a_kill_another_takes_over(path):
    """Two real processes; the holder is killed without a chance to give the lease back."""
    contenders = [
        subprocess.Popen(
            [sys.executable, "-c", _CONTENDER, str(path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for _ in range(2)
    ]
    try:
        first = wait_for_holder(path, None)
        (holder,) = [one for one in contenders if one.pid == first]
        (other,) = [one for one in contenders if one.pid != first]
        holder.kill()
        holder.wait()
        assert wait_for_holder(path, first) == other.pid
    finally:
        for one in contenders:
            one.kill()
            one.communicate()


def wait_for_holder(path, before):
    """The process that holds the lease, once it is another one than before."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        holder = read_holder(path)
        if holder is not None and holder.pid != before:
            return holder.pid
        time.sleep(0.05)
    raise AssertionError("nobody took the lease")
