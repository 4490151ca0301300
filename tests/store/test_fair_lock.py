"""Turns are fair: readers together, writers alone, first come first served, the dead forgotten."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from toolkit.errors import StoreLocked
from toolkit.store.fair_lock import FairFileLock


@pytest.fixture
def turns(tmp_path: Path) -> FairFileLock:
    return FairFileLock(tmp_path / "queue", "the file")


def test_readers_hold_a_turn_together(turns):
    with turns.turn("r", 0), turns.turn("r", 0):
        pass


@pytest.mark.parametrize("kinds", ["wr", "rw", "ww"])
def test_a_writer_holds_its_turn_alone(turns, kinds):
    with turns.turn(kinds[0], 0), pytest.raises(StoreLocked), turns.turn(kinds[1], 0):
        pass


def test_the_holder_is_named(turns):
    with turns.turn("w", 0), pytest.raises(StoreLocked, match=str(os.getpid())), turns.turn("r", 0):
        pass


def test_a_turn_that_was_given_back_is_free_and_leaves_no_ticket(turns, tmp_path):
    for _ in range(3):
        with turns.turn("w", 0):
            assert turns.holder() == os.getpid()
    assert turns.holder() is None
    assert os.listdir(tmp_path / "queue") == ["gate"]


def test_a_later_reader_does_not_overtake_a_waiting_writer(turns):
    order: list[str] = []
    queued = threading.Event()

    def write() -> None:
        queued.set()
        with turns.turn("w", 10):
            order.append("writer")

    def read() -> None:
        with turns.turn("r", 10):
            order.append("reader")

    with turns.turn("r", 0):
        writer = threading.Thread(target=write)
        writer.start()
        queued.wait()
        while len(turns._tickets()) < 2:
            pass
        reader = threading.Thread(target=read)
        reader.start()
        while len(turns._tickets()) < 3:
            pass
        assert order == []
    writer.join()
    reader.join()
    assert order == ["writer", "reader"]


def test_writers_are_served_in_the_order_they_came(turns):
    order: list[int] = []

    def write(number: int) -> None:
        with turns.turn("w", 20):
            order.append(number)

    threads = []
    with turns.turn("w", 0):
        for number in range(6):
            threads.append(threading.Thread(target=write, args=(number,)))
            threads[-1].start()
            while len(turns._tickets()) < number + 2:
                pass
    for thread in threads:
        thread.join()
    assert order == list(range(6))


def test_a_dead_process_does_not_block_the_queue(turns, tmp_path):
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from toolkit.store.fair_lock import FairFileLock\n"
        "with FairFileLock(Path(sys.argv[1]), 'x').turn('w', 0):\n    os._exit(9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "queue")],
        cwd=Path(__file__).resolve().parents[2],
        check=False,
        timeout=60,
    )
    assert done.returncode == 9
    assert len(os.listdir(tmp_path / "queue")) == 2, "the ticket of the dead is still there"
    with turns.turn("w", 0):
        pass
    assert os.listdir(tmp_path / "queue") == ["gate"]
