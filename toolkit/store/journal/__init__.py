"""The journal in front of the database: where a record is acknowledged.

`journal_file` is the SQLite file, `head` what was acknowledged, kept apart, `losses` the log of
what is gone, `auditor` the comparison of the two.
"""

from __future__ import annotations

from toolkit.store.journal.journal_file import Entry, Journal, Sync
from toolkit.store.journal.losses import Loss

__all__ = ["Entry", "Journal", "Loss", "Sync"]
