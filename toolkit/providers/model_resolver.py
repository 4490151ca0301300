"""From `provider/model_id` to a provider, remembered until the registry's file changes.

Reading an entry checks every field anew, which costs milliseconds; a call must not pay that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolkit.providers.presets import LOCAL, find_base_url

if TYPE_CHECKING:
    from toolkit.providers.provider import Provider
    from toolkit.providers.registry import Registry


class Resolver:
    """`Registry.resolve` with a memory, except for the built-in server, whose port may change."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, tuple[object, str | None, tuple[Provider, str]]] = {}

    def resolve(self, model: str) -> tuple[Provider, str]:
        """See `Registry.resolve`.

        Raises:
            InvalidProvider, ProviderNotFound: as there.
        """
        stamp = self._registry.file.stamp()
        known = self._known.get(model)
        moves = model.partition("/")[0] in self._registry.url_sources  # it is asked each time
        if known is not None and not moves:
            then, url, found = known
            if then == stamp and url == find_base_url(found[0]):
                return found
        found = self._registry.resolve(model)
        if found[0].name != LOCAL:
            self._known[model] = (stamp, find_base_url(found[0]), found)
        return found
