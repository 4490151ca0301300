"""The lease that decides which of several monitors of one home probes.

The lease is a private file, written atomically under a lock and renewed by its holder. If the
holder is killed, another monitor takes over when the lease expires; a holder that wakes up later
finds that it lost the lease. A lease from the future (the clock was set back) is not valid.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from toolkit.errors import FileLocked, FileUnsafe
from toolkit.files import locked, read_private, write_atomic

LEASE_S: Final = 30.0
"""Duration of a lease without renewal."""

_LOCK_WAIT_S: Final = 2.0
_MOST_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The holder of the lease.

    Attributes:
        token: unique to one monitor.
        pid, host: its process and machine.
        what: `app`, `watch` or `serve`.
        since: when it took the lease, UTC.
        renewed_at, expires_at: UTC.
        next_at: next probe by provider, UTC.
        is_offline: whether this machine seems to be offline.
    """

    token: str
    pid: int
    host: str
    what: str
    since: datetime
    renewed_at: datetime
    expires_at: datetime
    next_at: Mapping[str, datetime] = field(default_factory=dict)
    is_offline: bool = False

    def is_valid(self, now: datetime) -> bool:
        """Whether it is valid at `now`; a lease renewed in the future is not."""
        length = self.expires_at - self.renewed_at
        return self.renewed_at - length <= now < self.expires_at


class Lease:
    """The lease of a home, from the view of one monitor.

    Args:
        path: the lease's file.
        what: `app`, `watch` or `serve`.
        length_s: duration without renewal, seconds.
    """

    def __init__(self, path: Path, what: str, length_s: float = LEASE_S) -> None:
        self.path = path
        self.what = what
        self.length_s = length_s
        self._token = secrets.token_hex(8)

    def hold(
        self,
        now: datetime,
        *,
        next_at: Mapping[str, datetime] | None = None,
        is_offline: bool = False,
    ) -> bool:
        """Take or renew the lease; False while another monitor has it.

        Args:
            now: UTC.
            next_at, is_offline: published with the lease.

        Raises:
            OSError: the home cannot be written.
        """
        try:
            with locked(self.path, _LOCK_WAIT_S):
                before = read_holder(self.path)
                if before and before.token != self._token and before.is_valid(now):
                    return False
                write_atomic(self.path, _encode(self._renewed(before, now, next_at, is_offline)))
                return True
        except FileLocked:  # another process is changing it right now
            return False

    def release(self) -> None:
        """Release it, if this monitor holds it.

        Raises:
            OSError: the home cannot be written.
        """
        try:
            with locked(self.path, _LOCK_WAIT_S):
                before = read_holder(self.path)
                if before and before.token == self._token:
                    self.path.unlink(missing_ok=True)
        except FileLocked:
            return  # it expires

    def is_mine(self, holder: Holder | None) -> bool:
        """Whether the holder is this monitor."""
        return holder is not None and holder.token == self._token

    def _renewed(
        self,
        before: Holder | None,
        now: datetime,
        next_at: Mapping[str, datetime] | None,
        is_offline: bool,
    ) -> Holder:
        ends = now + timedelta(seconds=self.length_s)
        if before is not None and before.token == self._token:
            kept = replace(before, renewed_at=now, expires_at=ends, is_offline=is_offline)
            return replace(kept, next_at=before.next_at if next_at is None else next_at)
        return Holder(
            token=self._token,
            pid=os.getpid(),
            host=socket.gethostname(),
            what=self.what,
            since=now,
            renewed_at=now,
            expires_at=ends,
            next_at=next_at or {},
            is_offline=is_offline,
        )


def read_holder(path: Path) -> Holder | None:
    """Read the holder from the file; None if there is none or it cannot be read."""
    try:
        return _decode(json.loads(read_private(path, limit_bytes=_MOST_BYTES)))
    except (OSError, FileUnsafe, ValueError, TypeError, KeyError, AttributeError):
        return None


def _encode(holder: Holder) -> bytes:
    values = asdict(holder)
    for name in ("since", "renewed_at", "expires_at"):
        values[name] = values[name].isoformat()
    values["next_at"] = {name: at.isoformat() for name, at in holder.next_at.items()}
    return json.dumps(values).encode()


def _decode(values: Mapping[str, Any]) -> Holder:
    times = {
        name: datetime.fromisoformat(values[name]) for name in ("since", "renewed_at", "expires_at")
    }
    next_at = {name: datetime.fromisoformat(at) for name, at in values["next_at"].items()}
    return Holder(**{**values, **times, "next_at": next_at})
