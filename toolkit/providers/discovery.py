"""What is there already: providers that the environment names, and servers on this machine."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from toolkit.keys.dotenv_file import read_dotenv
from toolkit.providers.base_url import looks_local
from toolkit.providers.presets import LOCAL, presets
from toolkit.providers.provider import Provider, ProviderType, origin_of
from toolkit.providers.type_detection import complete_base_url, detect_type
from toolkit.providers.url_repair import repair_base_url

_MAX_BODY: Final = 4 * 1024 * 1024
_NAMED: Final = re.compile(r"PROVIDER_([A-Z0-9][A-Z0-9_]{0,62})_URL")


def find_named() -> dict[str, dict[str, Any]]:
    """Providers that `PROVIDER_<NAME>_URL` names, in the environment and in `./.env`.

    Returns:
        Fields of an entry by name; presets are left out (they read that variable themselves).
        Their key is `PROVIDER_<NAME>_KEY` from the same place as the URL: a `.env` in a foreign
        folder must not lead a key of the environment elsewhere.
    """
    found: dict[str, dict[str, Any]] = {}
    for place in (read_dotenv(), os.environ):  # the environment wins
        for variable, url in place.items():
            named = _NAMED.fullmatch(variable)
            if named and url.strip():
                name = named.group(1).lower().replace("_", "-")
                if name not in presets():
                    found[name] = _entry(named.group(1), url.strip(), place)
    return found


def _entry(upper: str, url: str, place: Mapping[str, str]) -> dict[str, Any]:
    key = f"PROVIDER_{upper}_KEY"
    is_ours = place is os.environ or key not in os.environ
    url = repair_base_url(url).url
    full = complete_base_url(url, detect_type(url))
    return {
        "base_url": url,
        "source": "environment",
        "is_local": looks_local(url),
        "key_env": (key,),
        "key_origin": origin_of(full) if is_ours else "",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundServer:
    """A server that answers on this machine.

    Attributes:
        name: of the preset whose kind of server it is.
        type: its API style.
        base_url: where it is.
        models: ids of the models that it serves, sorted.
    """

    name: str
    type: ProviderType
    base_url: str
    models: tuple[str, ...]


async def find_local_servers(
    timeout_s: float = 0.3, candidates: Sequence[Provider] | None = None
) -> list[FoundServer]:
    """Look for Ollama, LM Studio, vLLM and llama.cpp on their usual ports of this machine.

    Args:
        timeout_s: longest wait for each, seconds; all are asked at the same time.
        candidates: providers to look for instead.

    Returns:
        Those that answer with a list of models, in the order of the presets.
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
    """Ids of an OpenAI-style listing; None where it is none (another program has the port)."""
    if response.status_code != 200 or len(response.content) > _MAX_BODY:
        return None
    try:
        told = response.json()
    except ValueError:
        return None
    rows = told.get("data") if isinstance(told, dict) else None
    if rows is None and isinstance(told, dict) and told.get("object") == "list":
        rows = []  # Ollama without a model says null
    if not isinstance(rows, list):
        return None
    ids = (row.get("id") for row in rows if isinstance(row, dict))
    return tuple(sorted({name for name in ids if isinstance(name, str) and name}))
