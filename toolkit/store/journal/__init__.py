"""The journal in front of the database: where a record is acknowledged.

`journal_file` appends and reads, `journal_format` is the SQLite file itself, `head` what was
acknowledged, kept apart, `auditor` the comparison of the two and the log of what is gone.
"""

from __future__ import annotations

from toolkit.store.journal.auditor import Loss
from toolkit.store.journal.journal_file import Entry, Journal, Sync

__all__ = ["Entry", "Journal", "Loss", "Sync"]
