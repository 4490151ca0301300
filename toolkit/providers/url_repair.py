"""Repairs base URLs as people paste them: a whole endpoint, a portal's address, a missing scheme.

What is ambiguous is left to `address.check_base_url`, which refuses it and says why. Each repair
is reported, so that nobody wonders why the saved address differs from the one given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from toolkit.providers.base_url import looks_local

# Endpoints below a base URL: the part that a copied `curl` line or a log shows after it.
_ENDPOINT: Final = re.compile(
    r"/(?:chat/completions|completions|responses|embeddings|messages(?:/count_tokens)?"
    r"|images/generations|audio/(?:speech|transcriptions)"
    r"|api/(?:chat|generate|tags|show)|models)/?$"
)
_GEMINI_MODEL: Final = re.compile(r"/models/(?P<model>[^/:]+):[A-Za-z]+$")
_BEDROCK_MODEL: Final = re.compile(
    r"/model/(?P<model>[^/]+)/(?:converse|invoke)(?:-with-response-stream|-stream)?$"
)
_AZURE_DEPLOYMENT: Final = re.compile(
    r"^(?P<root>.*)/openai/deployments/(?P<model>[^/]+)(?:/.*)?$", re.IGNORECASE
)
_AZURE_HOSTS: Final = (".openai.azure.com", ".cognitiveservices.azure.com", ".azure.com")
_SCHEMELESS: Final = re.compile(
    r"^(?:[a-z0-9-]+\.)*[a-z0-9-]+(?::\d{1,5})?(?:/.*)?$", re.IGNORECASE
)
_ENDS_VERSIONED: Final = re.compile(r"/v\d[^/]*$")
_QUOTES: Final = "\"'`<>“”‘’"


@dataclass(slots=True)
class RepairedUrl:
    """A base URL after repair.

    Attributes:
        url: the base URL.
        model: a model or deployment that the pasted address named, or None.
        notes: what was changed, one sentence each.
    """

    url: str
    model: str | None = None
    notes: list[str] = field(default_factory=list)


def repair_base_url(text: str) -> RepairedUrl:
    """Bring a pasted address to the form of a base URL, as far as there is only one reading.

    Args:
        text: what a person or a variable says.

    Returns:
        The address unchanged where nothing is known to be wrong with it.
    """
    found = RepairedUrl(text)
    if not isinstance(text, str):
        return found
    found.url = text.strip().strip(_QUOTES).strip()
    if found.url != text.strip():
        found.notes.append("Removed the quotes around the base URL.")
    _add_scheme(found)
    if not found.url.lower().startswith(("https://", "http://")):
        return found
    _replace_wildcard_host(found)
    _take_deployment(found)
    _take_model(found, _GEMINI_MODEL)
    _take_model(found, _BEDROCK_MODEL)
    _drop_endpoint(found)
    return found


def _add_scheme(found: RepairedUrl) -> None:
    if "://" in found.url or not _SCHEMELESS.match(found.url):
        return
    host = found.url.partition("/")[0].partition(":")[0].lower()
    if "." not in host and host != "localhost":
        return
    scheme = "http" if looks_local(f"http://{found.url}") or host == "0.0.0.0" else "https"  # noqa: S104 - compared, not bound
    found.url = f"{scheme}://{found.url}"
    found.notes.append(f"Added {scheme}:// to the base URL.")


def _replace_wildcard_host(found: RepairedUrl) -> None:
    """Servers print the address they listen on; 0.0.0.0 is not one that can be called."""
    for wildcard, loopback in (("0.0.0.0", "127.0.0.1"), ("[::]", "[::1]")):  # noqa: S104 - see above
        scheme, _, rest = found.url.partition("://")
        if rest == wildcard or rest.startswith((f"{wildcard}:", f"{wildcard}/")):
            found.url = f"{scheme}://{loopback}{rest.removeprefix(wildcard)}"
            found.notes.append(f"Replaced {wildcard} with {loopback}.")


def _take_deployment(found: RepairedUrl) -> None:
    """Azure's portal shows the address of one deployment; its v1 API serves all of them."""
    base, _, query = found.url.partition("?")
    try:
        host = (urlsplit(base).hostname or "").lower()
    except ValueError:
        return
    match = _AZURE_DEPLOYMENT.match(base)
    if match is not None and host.endswith(_AZURE_HOSTS):
        found.url = f"{match['root']}/openai/v1"
        found.model = unquote(match["model"])
        found.notes.append(
            f"Took the base URL {found.url} from the address of the deployment {found.model}."
        )
    elif query and set(re.findall(r"(?:^|&)([^=&]+)=", query)) == {"api-version"}:
        found.url = base
        found.notes.append("Removed the query `api-version` from the base URL.")


def _take_model(found: RepairedUrl, pattern: re.Pattern[str]) -> None:
    if (match := pattern.search(found.url)) is not None:
        found.url = found.url[: match.start()]
        found.model = unquote(match["model"])
        found.notes.append(f"Removed the model {found.model} from the base URL.")


def _drop_endpoint(found: RepairedUrl) -> None:
    match = _ENDPOINT.search(found.url)
    if match is None:
        return
    base, endpoint = found.url[: match.start()], match.group().rstrip("/")
    if endpoint == "/models" and not _ENDS_VERSIONED.search(base):
        return  # Azure AI Foundry's base URL itself ends in /models
    found.url = base
    found.notes.append(f"Removed {endpoint} from the end of the base URL.")
