"""Retention: removing old prompts and answers, or old calls altogether, for good.

What is removed leaves the file too: freed blocks would keep the old text until they are used
again, so the database is written anew afterwards. The roll-ups keep the counts, tokens and costs
of removed calls. Calls are removed by whole hours, because that is what a roll-up row covers.
"""

# ruff: noqa: S608 - names in SQL are the toolkit's own, values are bound.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from toolkit.errors import InvalidInput
from toolkit.store.backup import rewrite
from toolkit.store.binding import execute

if TYPE_CHECKING:
    import duckdb

    from toolkit.store.database import Database
    from toolkit.store.reader import Reader

SHORTEST_CALLS: Final = timedelta(days=32)
"""Calls are kept for at least as long: monthly budgets and the forecast are counted from them."""
BODIES: Final = (
    *("messages", "output_text", "reasoning_text", "tool_calls", "choices", "parts"),
    "fields_not_read",
)
"""The columns of `calls` that contain prompts and answers."""

_HAS_BODY: Final = " OR ".join(f"{name} IS NOT NULL" for name in BODIES)
_BODIES_WHERE: Final = f"started_at < ? AND ({_HAS_BODY})"
_CALLS_WHERE: Final = "started_at < ?"
_COUNTS: Final = """
    SELECT origin, count(*) AS calls, min(started_at) AS first_at, max(started_at) AS last_at
    FROM calls WHERE {where} GROUP BY origin ORDER BY origin"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """What a removal concerns, for calls of one origin.

    Attributes:
        what: `bodies` (prompts and answers) or `calls` (whole rows).
        origin: what made the calls.
        calls: how many.
        first_at, last_at: when the first and the last of them began.
    """

    what: str
    origin: str | None
    calls: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was removed.

    Attributes:
        bodies: calls that lost prompt and answer.
        calls: calls that were removed.
        bytes_before, bytes_after: size of the database file.
    """

    bodies: int
    calls: int
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Up to which moments something is removed; None: nothing.

    Attributes:
        bodies_before: prompts and answers of calls that began before.
        calls_before: calls that began before; rounded down to the hour.
    """

    bodies_before: datetime | None
    calls_before: datetime | None

    @classmethod
    def of_ages(
        cls, bodies: timedelta | None, calls: timedelta | None, now: datetime | None = None
    ) -> Retention:
        """Read the ages beyond which bodies or calls are removed.

        Raises:
            InvalidInput: neither is given, or calls would not be kept long enough.
        """
        now = now or datetime.now(UTC)
        if bodies is None and calls is None:
            raise InvalidInput(
                "nothing to remove was named",
                hint="Name an age: `toolkit store prune --bodies-older-than 30d`.",
            )
        if calls is not None and calls < SHORTEST_CALLS:
            raise InvalidInput(
                f"calls are kept for at least {SHORTEST_CALLS.days} days: monthly budgets and the "
                "forecast are counted from them",
                hint="Remove their prompts and answers instead: `toolkit store prune "
                "--bodies-older-than 30d`.",
            )
        before = None if calls is None else now - calls
        return cls(
            bodies_before=None if bodies is None else now - bodies,
            calls_before=before and before.replace(minute=0, second=0, microsecond=0),
        )


def find_affected(reader: Reader, retention: Retention) -> list[Affected]:
    """What `prune` would remove; nothing is changed."""
    found = []
    for what, where, before in (
        ("bodies", _BODIES_WHERE, retention.bodies_before),
        ("calls", _CALLS_WHERE, retention.calls_before),
    ):
        if before is not None:
            rows = reader.rows(_COUNTS.format(where=where), [before])
            found += [Affected(what=what, **row) for row in rows]
    return found


def prune(
    database: Database, retention: Retention, on_step: Callable[[str], None] = lambda step: None
) -> Pruned:
    """Remove what is too old and write the database anew; the journal must have been ingested.

    Raises:
        StoreLocked: another process kept the file.
        StoreError: the file could not be written. What was removed stays removed; the old text may
            still be in free blocks of the file, so repeat it.
    """
    size = database.path.stat().st_size if database.path.exists() else 0
    with database.writing() as connection:
        connection.execute("BEGIN")
        try:
            calls = bodies = 0
            if retention.calls_before is not None:
                calls = _count(
                    connection, f"DELETE FROM calls WHERE {_CALLS_WHERE}", retention.calls_before
                )
            if retention.bodies_before is not None:
                columns = ", ".join(f"{name} = NULL" for name in BODIES)
                bodies = _count(
                    connection,
                    f"UPDATE calls SET {columns} WHERE {_BODIES_WHERE}",
                    retention.bodies_before,
                )
            execute(
                connection,
                "INSERT INTO retention VALUES (now(), ?, ?, ?, ?)",
                [retention.bodies_before, retention.calls_before, bodies, calls],
            )
            connection.execute("COMMIT")
        except BaseException:  # Ctrl-C must not leave half of it
            connection.execute("ROLLBACK")
            raise
    on_step("prune:removed")
    rewrite(database)
    return Pruned(
        bodies=bodies,
        calls=calls,
        bytes_before=size,
        bytes_after=database.path.stat().st_size,
    )


def _count(connection: duckdb.DuckDBPyConnection, sql: str, before: datetime) -> int:
    found: tuple[Any, ...] | None = execute(connection, sql, [before]).fetchone()
    return int(found[0]) if found else 0
