"""From `provider/model_id` to a provider, remembered until the registry's file changes.

Reading an entry checks every field anew, which costs milliseconds; a call must not pay that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolkit.workbench.local import LOCAL

if TYPE_CHECKING:
    from toolkit.providers.provider import Provider
    from toolkit.providers.registry import Registry


class Resolver:
    """`Registry.resolve` with a memory.

    Nothing is remembered of a provider whose base URL may change without the file: the
    built-in server's, and those whose URL an environment variable may hold.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, tuple[object, tuple[Provider, str]]] = {}

    def resolve(self, model: str) -> tuple[Provider, str]:
        """See `Registry.resolve`.

        Raises:
            InvalidProvider, ProviderNotFound: as there.
        """
        stamp = self._registry.file.stamp()
        known = self._known.get(model)
        if known is not None and known[0] == stamp:
            return known[1]
        found = self._registry.resolve(model)
        if found[0].name != LOCAL and not found[0].url_env:
            self._known[model] = (stamp, found)
        return found
