"""The log of acknowledged records that are gone.

`toolkit store verify` and `info` show it until the user acknowledges it.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from toolkit.files import locked, write_atomic

_LOG_WAIT_S: Final = 5.0
_MAX_LOSSES: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Acknowledged records that are gone.

    Attributes:
        where: `journal` or `database`.
        journal_id: the journal whose numbers these are.
        first, last: the first and the last lost number.
        count: how many records that is.
        since: when the last record before them was acknowledged, UTC, as far as known.
        until: when the last of them was acknowledged, UTC, as far as known.
        noticed_at: when the loss was noticed, UTC.
        reason: what was found.
    """

    where: str
    journal_id: str
    first: int
    last: int
    count: int
    since: str | None = None
    until: str | None = None
    noticed_at: str
    reason: str

    def __str__(self) -> str:
        span = f"acknowledged after {self.since}" if self.since else "acknowledged"
        span += f", until {self.until}" if self.until else ""
        return (
            f"{self.count:,} records (numbers {self.first} to {self.last}, {span}) are missing: "
            f"{self.reason} (noticed {self.noticed_at})"
        )


class LossLog:
    """The losses of one home folder that were not acknowledged yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Loss]:
        """Return all losses, oldest first; a log that cannot be read is a loss of its own."""
        try:
            return [Loss(**entry) for entry in json.loads(self.path.read_text("utf-8"))]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError):
            reason = f"the log of losses {self.path} is damaged"
            return [new_loss("journal", "", 0, 0, reason=reason)]

    def add(self, loss: Loss) -> bool:
        """Add a loss; False where these numbers are in the log already.

        Raises:
            OSError, FileLocked: the log cannot be written.
        """
        with locked(self.path, _LOG_WAIT_S):
            known = self.read()
            if any(_covers(entry, loss) for entry in known):
                return False
            content = [asdict(entry) for entry in (*known, loss)][-_MAX_LOSSES:]
            write_atomic(self.path, json.dumps(content, indent=1))
            return True

    def clear(self) -> int:
        """Forget all losses; returns how many there were.

        Raises:
            OSError, FileLocked: the log cannot be written.
        """
        with locked(self.path, _LOG_WAIT_S):
            known = self.read()
            self.path.unlink(missing_ok=True)
            return len(known)


def new_loss(  # noqa: PLR0913 - the fields of a loss
    where: str,
    journal_id: str,
    first: int,
    last: int,
    *,
    reason: str,
    count: int | None = None,
    since_us: int | None = None,
    until_us: int | None = None,
) -> Loss:
    """Describe a loss that was noticed now."""
    return Loss(
        where=where,
        journal_id=journal_id,
        first=first,
        last=last,
        count=last - first + 1 if count is None else count,
        since=_moment(since_us),
        until=_moment(until_us),
        noticed_at=_moment(time.time_ns() // 1000) or "",
        reason=reason,
    )


def _covers(known: Loss, new: Loss) -> bool:
    same = known.where == new.where and known.journal_id == new.journal_id
    return same and known.first <= new.first and new.last <= known.last


def _moment(microseconds: int | None) -> str | None:
    if not microseconds:
        return None
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="seconds")
