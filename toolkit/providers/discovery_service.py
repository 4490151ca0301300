"""Finds providers that are there already, and adds local servers that answer, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from toolkit.errors import ToolkitError
from toolkit.providers.discovery import FoundServer, find_local_servers
from toolkit.providers.presets import presets
from toolkit.providers.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovered:
    """One provider that was found.

    Attributes:
        name: of the provider.
        where: `environment` (a variable or `.env` names it) or `local port`.
        outcome: `added`, `known` (it was there already), `removed` (a person removed it, so it
            stays away) or `refused`.
        detail: where it is, its models, or why it was refused.
    """

    name: str
    where: Literal["environment", "local port"]
    outcome: Literal["added", "known", "removed", "refused"]
    detail: str


async def discover(registry: Registry, timeout_s: float = 0.5) -> list[Discovered]:
    """Look everywhere; one that fails never stops the others.

    Args:
        registry: gets what is new.
        timeout_s: longest wait for each local port, seconds.
    """
    found = [
        Discovered(name=p.name, where="environment", outcome="known", detail=p.base_url)
        for p in registry.list()
        if p.source == "environment"
    ]
    found += [
        Discovered(name=name, where="environment", outcome="refused", detail=error.message)
        for name, error in registry.problems().items()
    ]
    found += [_take_in(registry, server) for server in await find_local_servers(timeout_s)]
    return found


def _take_in(registry: Registry, server: FoundServer) -> Discovered:
    count = len(server.models)
    detail = f"{server.base_url}, {count} model{'' if count == 1 else 's'}"
    if count:
        detail += f": {', '.join(server.models[:3])}{', …' if count > 3 else ''}"
    outcome: Literal["added", "known", "removed", "refused"] = "known"
    try:
        present = registry.find(server.name)
        if present is not None and present.is_removed:
            outcome = "removed"
        elif registry.is_untouched(server.name) and server.name in presets():
            registry.add(server.name, source="discovered")
            outcome = "added"
    except ToolkitError as error:
        outcome, detail = "refused", error.message
    return Discovered(name=server.name, where="local port", outcome=outcome, detail=detail)
