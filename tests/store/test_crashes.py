"""kill -9 at random moments: no acknowledged record is lost, none is doubled."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import pytest

from tests.store.conftest import Start
from toolkit.store.store import Store

WRITERS = 4

# Appends without end and prints each id once it is acknowledged; its own background thread moves.
WRITES = """
store = Store(settings)
number = 0
print("ready", flush=True)
while True:
    call_id = f"{sys.argv[2]}-{number:06d}"
    if number % 10 == 9:
        store.append_many("calls", [call_row(call_id=call_id, input_tokens=number)])
    else:
        store.append("calls", call_row(call_id=call_id, input_tokens=number))
    os.write(1, (call_id + "\\n").encode())
    number += 1
    if number % 7 == 0:
        time.sleep(0.01)
    if number % 40 == 0:
        store.rows("SELECT count(*) FROM calls")
"""


def _round(start: Start, name: str, chance: random.Random) -> set[str]:
    """Start the writers, kill each at a moment of its own, return what was acknowledged."""
    writers = [start(WRITES, f"{name}-{index}") for index in range(WRITERS)]
    acknowledged: list[str] = []

    def listen(stream) -> None:
        for line in stream:
            # A line cut by the kill was acknowledged too, but its id cannot be told.
            if line.endswith("\n") and line != "ready\n":
                acknowledged.append(line.strip())

    for writer in writers:
        assert writer.stdout.readline() == "ready\n", writer.stderr.read()
    listeners = [threading.Thread(target=listen, args=(w.stdout,)) for w in writers]
    for listener in listeners:
        listener.start()
    for writer in writers:
        time.sleep(chance.uniform(0.05, 0.35))
        writer.kill()
    for writer, listener in zip(writers, listeners, strict=True):
        writer.wait()
        listener.join()
    return set(acknowledged)


def _rounds(start: Start, store: Store, count: int) -> None:
    chance = random.Random(20261121)
    acknowledged: set[str] = set()
    for number in range(count):
        acknowledged |= _round(start, f"r{number}", chance)
        stored = Counter(row["call_id"] for row in store.rows("SELECT call_id FROM calls"))
        assert acknowledged <= stored.keys(), "acknowledged records are lost"
        assert not [call_id for call_id, n in stored.items() if n > 1]
    store.ingest()
    assert len(acknowledged) > 20 * count, "the writers must have written something"
    stored = Counter(row["call_id"] for row in store.rows("SELECT call_id FROM calls"))
    assert acknowledged <= stored.keys() and set(stored.values()) == {1}
    # At most one record per writer and round may be stored and not yet acknowledged.
    assert len(stored) - len(acknowledged) <= WRITERS * count
    wrong = store.rows(
        "SELECT count(*) AS n FROM calls "
        "WHERE input_tokens != CAST(split_part(call_id, '-', 3) AS INT)"
    )
    assert wrong == [{"n": 0}]
    assert all(check.is_ok for check in store.verify()), store.verify()


def test_killing_4_writers_4_times_loses_and_doubles_nothing(start, store):
    _rounds(start, store, 4)


@pytest.mark.timeout(400)
def test_killing_4_writers_20_times_loses_and_doubles_nothing(start, store):
    _rounds(start, store, 20)
