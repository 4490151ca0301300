"""Each write to the disk fails in turn: nothing acknowledged is lost, and the store heals.

Writes are made to fail in the C library (a shim that is compiled here and preloaded), so that
SQLite and DuckDB meet what a full, broken or limited disk gives them. A file system that is really
full is a small tmpfs, where this user may mount one.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.store.rows import call_row
from toolkit.errors import StoreError
from toolkit.settings import Settings
from toolkit.store.store import Store

pytestmark = [pytest.mark.timeout(300)]
SHIM = Path(__file__).with_name("write_faults.c")

EVERY_WRITE = """
import ctypes, json
from toolkit.errors import StoreError
shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
error, points = int(sys.argv[2]), int(sys.argv[3])
folder = str(home).encode()

def arm(number):
    shim.fault_arm(folder, ctypes.c_long(number), error)

store = Store(settings)
store._publisher.notice = lambda count=1: None
store.append("calls", call_row(call_id="first"))
store.ingest()
acknowledged, unexpected, failed = {"first"}, [], 0

def attempt(step):
    global failed
    try:
        step()
        return True
    except StoreError:
        failed += 1
    except Exception as problem:
        unexpected.append(f"{number}: {type(problem).__name__}: {problem}"[:300])
    return False

for number in range(1, points + 1):
    name = f"c{number}"
    arm(number)
    if attempt(lambda: store.append("calls", call_row(call_id=name, output_text="x" * 3000))):
        acknowledged.add(name)
    arm(number)
    attempt(store.ingest)
    arm(0)
    if number % 10 == 0:  # there is room again: the next rows and all that waited are moved
        attempt(lambda: store.append("calls", call_row(call_id=f"healed{number}")))
        acknowledged.add(f"healed{number}")
        attempt(store.ingest)
        kept = [row["call_id"] for row in store.rows("SELECT call_id FROM calls")]
        if lost := acknowledged - set(kept):
            unexpected.append(f"{number}: lost {sorted(lost)}")
        if len(kept) != len(set(kept)):
            unexpected.append(f"{number}: doubled")
waiting = store._journal.count()
store.close()
print(json.dumps({"unexpected": unexpected, "failed": failed, "waiting": waiting}))
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The shim as a library."""
    compiler = shutil.which("cc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("no `cc` here (or not Linux): the shim cannot be compiled")
    library = tmp_path_factory.mktemp("shim") / "write_faults.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIM), "-ldl"]
    subprocess.run(command, check=True)
    return str(library)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT], ids=errno.errorcode.get)
def test_every_failing_write_is_an_error_of_the_store_and_loses_nothing(
    shim: str,
    start: Callable[..., subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
    code: int,
) -> None:
    monkeypatch.setenv("LD_PRELOAD", shim)
    process = start(EVERY_WRITE, str(code), "20")
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    result = json.loads(out.splitlines()[-1])
    assert result["unexpected"] == []
    assert result["failed"] > 10  # the shim reached the writes
    assert result["waiting"] == 0


def mount_tmpfs(folder: Path, options: str) -> bool:
    """Whether a file system in memory could be mounted at the folder."""
    mount = shutil.which("mount")
    if mount is None:
        return False
    command = [mount, "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if not mount_tmpfs(folder, "size=3m,mode=700"):
        pytest.skip("this user may not mount a tmpfs; only root may")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_file_system_is_an_error_and_the_journal_drains_when_there_is_room(
    small_disk: Path,
) -> None:
    store = Store(Settings(home=small_disk / "home"))
    acknowledged = []
    with pytest.raises(StoreError, match="space"):
        for number in range(5000):
            store.append("calls", call_row(call_id=f"c{number}", output_text="x" * 4000))
            acknowledged.append(f"c{number}")
    assert len(acknowledged) > 10
    assert mount_tmpfs(small_disk, "remount,size=60m")
    store.append("calls", call_row(call_id="after"))
    store.ingest()
    kept = {row["call_id"] for row in store.rows("SELECT call_id FROM calls")}
    assert kept == {*acknowledged, "after"}
    store.close()


def test_a_home_that_vanishes_is_named_and_made_again(store: Store, home: Path) -> None:
    store.append("calls", call_row(call_id="before"))
    store.ingest()
    store.close()
    shutil.rmtree(home)
    again = Store(Settings(home=home))
    again.append("calls", call_row(call_id="after"))
    again.ingest()
    assert [row["call_id"] for row in again.rows("SELECT call_id FROM calls")] == ["after"]
    again.close()


def test_a_home_that_cannot_be_written_refuses_a_record_with_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("permissions do not bind this user (root)")
    store = Store(Settings(home=folder / "home"))
    with pytest.raises(StoreError, match="home"):
        store.append("calls", call_row())
    folder.chmod(0o700)
