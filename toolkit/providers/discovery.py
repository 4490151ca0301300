"""Finds providers in the environment and local servers on their default ports."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from toolkit.errors import ToolkitError
from toolkit.providers.provider import LOCAL, Provider, ProviderType, presets
from toolkit.providers.registry import Registry

_MAX_BODY: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundServer:
    """A server that answers on this machine.

    Attributes:
        name: of the matching preset.
        type: its API style.
        base_url: its address.
        models: ids of the models that it serves, sorted.
    """

    name: str
    type: ProviderType
    base_url: str
    models: tuple[str, ...]


async def find_local_servers(
    timeout_s: float = 0.3, candidates: Sequence[Provider] | None = None
) -> list[FoundServer]:
    """Look for Ollama, LM Studio, vLLM and llama.cpp on their default ports.

    Args:
        timeout_s: maximum wait, seconds; all are contacted concurrently.
        candidates: providers to look for instead.

    Returns:
        The servers that list models, in the order of the presets.
    """
    import httpx

    wanted = candidates
    if wanted is None:
        wanted = [p for p in presets().values() if p.is_local and p.name != LOCAL]
    limits = httpx.Timeout(timeout_s)
    async with httpx.AsyncClient(timeout=limits, trust_env=False, follow_redirects=False) as http:
        found = await asyncio.gather(*(_ask(http, p, timeout_s) for p in wanted))
    return [server for server in found if server is not None]


async def _ask(http: Any, provider: Provider, timeout_s: float) -> FoundServer | None:
    import httpx

    try:
        async with asyncio.timeout(timeout_s):
            response = await http.get(f"{provider.base_url}/models")
    except (httpx.HTTPError, TimeoutError, OSError):
        return None
    models = _read_models(response)
    if models is None:
        return None
    return FoundServer(
        name=provider.name, type=provider.type, base_url=provider.base_url, models=models
    )


def _read_models(response: Any) -> tuple[str, ...] | None:
    """Ids of an OpenAI-style listing; None if it is not one (another program uses the port)."""
    if response.status_code != 200 or len(response.content) > _MAX_BODY:
        return None
    try:
        body = response.json()
    except ValueError:
        return None
    rows = body.get("data") if isinstance(body, dict) else None
    if rows is None and isinstance(body, dict) and body.get("object") == "list":
        rows = []  # Ollama returns null if it has no models
    if not isinstance(rows, list):
        return None
    ids = (row.get("id") for row in rows if isinstance(row, dict))
    return tuple(sorted({name for name in ids if isinstance(name, str) and name}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovered:
    """One provider that was found.

    Attributes:
        name: of the provider.
        where: `environment` (a variable or `.env` names it) or `local port`.
        outcome: `added`, `known` (already present), `removed` (removed by the user, so not added
            again) or `refused`.
        detail: its address, its models, or why it was refused.
    """

    name: str
    where: Literal["environment", "local port"]
    outcome: Literal["added", "known", "removed", "refused"]
    detail: str


async def discover(registry: Registry, timeout_s: float = 0.5) -> list[Discovered]:
    """Search all sources; a failure of one does not affect the others.

    Args:
        registry: receives new providers.
        timeout_s: maximum wait for each local port, seconds.
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
