"""Background tasks of a long-running process: health monitor and catalog syncs.

The app and `toolkit serve` both start it here, so that one place decides what runs unasked.
All of it is free of charge: listings, and probes within the budget of the settings (0 by default).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.toolkit import Toolkit


def start_background_tasks(toolkit: Toolkit, role: str) -> None:
    """Start the health monitor and the catalog's syncs; they run until the toolkit is closed.

    Args:
        toolkit: the toolkit of the process.
        role: what the process is (`app`, `serve`), shown in the monitor's status.
    """
    toolkit.health.monitor.start(role)
    toolkit.portal.start(toolkit.catalog.keep_fresh())
