"""What `tk.providers` is: the registry, with testing, discovery, transfer and plugins."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from toolkit.providers.provider import Provider
from toolkit.providers.registry import Registry

if TYPE_CHECKING:
    from toolkit.workbench.bench import Workbench


class Providers:
    """The providers of one workbench."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    @cached_property
    def registry(self) -> Registry:
        """Where providers are kept and resolved."""
        return Registry(
            self._bench.settings,
            find_header=self._bench.keys.find_header,
            find_local_url=self._find_local_url,
        )

    def list(self, **filters: Any) -> list[Provider]:
        """Presets and custom providers in one list; filters are those of `Registry.list`."""
        return self.registry.list(**filters)

    def _find_local_url(self) -> str | None:
        from toolkit.local.server import find_base_url

        return find_base_url(self._bench.settings)
