"""Parameters of a request: defaults, and those that a provider refuses.

What a provider does not take is an error, or is left out with a note on the reply:
`on_unsupported` of the request decides.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from toolkit.calls.adapters.differences import NOT_SENT
from toolkit.errors import InvalidRequest
from toolkit.records import ChatRequest

_REFUSAL: Final = re.compile(
    r"unsupported|not support|unrecognized|unknown|unexpected|extra inputs"
    r"|not (?:permitted|allowed)",
    re.I,
)


def with_defaults(request: ChatRequest, defaults: Mapping[str, Any]) -> ChatRequest:
    """The request with a provider's default parameters below its own."""
    if not defaults or request.operation != "chat":  # they are those of a conversation
        return request
    return replace(request, params={**defaults, **request.params})


def without(request: ChatRequest, names: Collection[str]) -> ChatRequest:
    """The request without some parameters."""
    params = {name: value for name, value in request.params.items() if name not in names}
    return replace(request, params=params)


def may_drop(request: ChatRequest) -> bool:
    """Whether the user lets parameters be dropped."""
    return request.on_unsupported == "drop" or bool(request.params.get("drop_params"))


def find_refused(request: ChatRequest, error: InvalidRequest) -> list[str]:
    """Parameters that a provider says it does not take, where the user lets them be dropped."""
    words = error.provider_message or ""
    if not may_drop(request) or error.status not in (400, 422) or not _REFUSAL.search(words):
        return []
    named = set(re.findall(r"\w+", words))
    return sorted(named & (request.params.keys() - NOT_SENT))
