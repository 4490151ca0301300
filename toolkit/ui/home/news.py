"""What happened since a moment, counted by kind; each kind is a link on the Home page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from toolkit.store.store import Store

_MARK: Final = "last-visit"


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Counts since a moment, over live calls.

    Attributes:
        calls, errors: attempts, and how many of them failed.
        cost_usd: what they cost; None when no price is known for any of them.
        unpriced: answered attempts without a known price, missing in `cost_usd`.
        incidents: spans in which a provider was degraded or down, opened or still open.
        model_changes: what catalogs changed.
        regressions: cases that regressed.
    """

    calls: int
    errors: int
    cost_usd: Any
    unpriced: int
    incidents: int
    model_changes: int
    regressions: int


_SQL: Final = """
SELECT
  (SELECT count(*) FROM calls WHERE source = 'live' AND origin IS DISTINCT FROM 'health'
    AND started_at >= ?) AS calls,
  (SELECT count(*) FROM calls
    WHERE source = 'live' AND origin IS DISTINCT FROM 'health' AND status = 'error'
      AND started_at >= ?) AS errors,
  (SELECT sum(cost_usd) FROM calls WHERE source = 'live' AND started_at >= ?) AS cost_usd,
  (SELECT count(*) FROM calls
    WHERE source = 'live' AND status = 'ok' AND cost_usd IS NULL AND started_at >= ?) AS unpriced,
  (SELECT count(*) FROM incidents
    WHERE opened_at >= ? OR closed_at >= ? OR closed_at IS NULL) AS incidents,
  (SELECT count(*) FROM model_changes WHERE changed_at >= ?) AS model_changes,
  (SELECT count(*) FROM regressions WHERE verdict = 'regressed' AND judged_at >= ?) AS regressions
"""


def news_since(store: Store, since: datetime) -> News:
    """Count what happened since `since`."""
    row = store.rows(_SQL, (since,) * _SQL.count("?"))[0]
    return News(**row)


def visit(home: Path) -> datetime | None:
    """When the app was last opened on this home folder, and note that it is open now."""
    mark = home / _MARK
    before = datetime.fromtimestamp(mark.stat().st_mtime, UTC) if mark.exists() else None
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark.touch(mode=0o600)
    except OSError:
        return before  # a read-only home is no reason to show no page
    return before
