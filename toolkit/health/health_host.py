"""What health needs from its owner; `Toolkit` implements all of it.

Protocols with properties, so that a service is opened on first use and this package does not depend
on `Toolkit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from toolkit.health.evidence import EvidenceSources
from toolkit.local.autostart import LocalHost

if TYPE_CHECKING:
    from datetime import datetime

    from toolkit.calls.sync_calls import Portal
    from toolkit.health.evidence import EvidenceReader
    from toolkit.health.monitoring.pauses import Pauses
    from toolkit.health.snapshot import HealthSnapshot
    from toolkit.keys.service import Keys
    from toolkit.pricing.price_cache import PriceCache
    from toolkit.providers.provider import Provider
    from toolkit.records import Call


class ProviderHealth(Protocol):
    """What the monitor and the overview use of the health service."""

    @property
    def evidence(self) -> EvidenceReader:
        """Reads calls and probes as evidence."""

    @property
    def pauses(self) -> Pauses:
        """Paused providers."""

    @property
    def snapshot(self) -> HealthSnapshot:
        """The states that failover uses."""

    def status(self, now: datetime | None = None) -> list[dict[str, Any]]:
        """The state of every provider in use."""


class HealthHost(EvidenceSources, LocalHost, Protocol):
    """The services that health works with, beside settings, store, providers and local server."""

    @property
    def keys(self) -> Keys:
        """API keys."""

    @property
    def portal(self) -> Portal:
        """The background event loop."""

    @property
    def prices(self) -> PriceCache[Provider]:
        """Prices of models."""

    @property
    def processors(self) -> list[Any]:
        """The processors that every request passes, the budgets among them."""

    @property
    def health(self) -> ProviderHealth:
        """The health service of the same home."""

    def record(self, call: Call) -> None:
        """Record one attempt."""
