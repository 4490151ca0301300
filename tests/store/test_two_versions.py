"""Two versions of the toolkit use one home at once: clear errors, and no record is lost."""

from __future__ import annotations

import pytest

from tests.store.rows import call_row
from toolkit.errors import StoreLocked
from toolkit.store.store import Store

# The version before the last migration; the last one adds no column to `calls`.
OLDER = """
from contextlib import nullcontext
from toolkit.errors import StoreError
from toolkit.store import migrate
known = migrate.migrations()[:-1]
migrate.migrations = lambda: known
store = Store(settings)
store._publisher.notice = lambda count=1: None
store.append("calls", call_row(call_id="old-1"))
store.ingest()
with store._database.writing() if sys.argv[2] == "holds" else nullcontext():
    print("ready", flush=True)
    sys.stdin.readline()
print("released", flush=True)
sys.stdin.readline()
store.append("calls", call_row(call_id="old-2"))
for use in (store.ingest, lambda: store.rows("SELECT call_id FROM calls"), store.info):
    try:
        print("ok", getattr(use(), "error", ""), flush=True)
    except StoreError as error:
        print(type(error).__name__, error, flush=True)
store.append("calls", call_row(call_id="old-3"))
store.close()
print("closed", flush=True)
"""


@pytest.mark.parametrize("holding", ["waits", "holds"])
def test_an_older_version_that_still_runs_loses_nothing(settings, start, holding):
    older = start(OLDER, holding)

    def go_on() -> str:
        older.stdin.write("\n")
        older.stdin.flush()
        return older.stdout.readline().strip()

    assert older.stdout.readline() == "ready\n", older.stderr.read()
    newer = Store(settings.model_copy(update={"lock_wait_s": 0.2 if holding == "holds" else 10.0}))
    newer._publisher.notice = lambda count=1: None
    newer.append("calls", call_row(call_id="new-1"))
    if holding == "holds":
        for use in (
            newer.ingest,
            lambda: newer.rows("SELECT 1"),
            lambda: newer.user_frame("FROM calls"),
        ):
            with pytest.raises(StoreLocked, match=f"in use by process {older.pid}"):
                use()
    assert go_on() == "released"
    newer.ingest()
    told = [go_on(), *(older.stdout.readline().strip() for _ in range(3))]
    for line in told[:3]:
        assert "has schema version" in line and "Update the toolkit" in line
    assert told[0].startswith("StoreTooNew") and told[3] == "closed"
    assert older.wait(60) == 0, older.stderr.read()
    newer.ingest()
    found = newer.rows("SELECT call_id FROM calls ORDER BY 1")
    assert [row["call_id"] for row in found] == ["new-1", "old-1", "old-2", "old-3"]
    assert newer.losses() == []
    assert all(check.is_ok for check in newer.verify())
    newer.close()
