"""What litellm wrote around a request, kept for the next one like it.

To a provider that speaks OpenAI's language messages and parameters go as they are
(`wording.py`), so litellm's part is the envelope: address, headers, and the few fields around
ours. Writing it takes litellm and its client library some 5 ms of a core, and it comes out the
same each time; so it is written once for each kind of request, and afterwards only filled.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
import orjson

_MOST: Final = 256
_OF_ONE_REQUEST: Final = frozenset({"client", "extra_body", "litellm_call_id", "messages"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A request that litellm wrote, without what was ours in it.

    Attributes:
        method, url, headers: as written; `content-length` is left to each request.
        fields: the body's fields in their order; those that are ours are filled in anew.
    """

    method: str
    url: httpx.URL
    headers: tuple[tuple[str, str], ...]
    fields: Mapping[str, Any]

    def fill(self, ours: Mapping[str, Any]) -> httpx.Request | None:
        """The request with our fields, or None where they are no plain JSON: litellm may know."""
        try:
            text = json.dumps(
                {**self.fields, **ours}, ensure_ascii=False, separators=(",", ":"), allow_nan=False
            )
            content = text.encode()
        except (TypeError, ValueError, RecursionError):
            return None
        return httpx.Request(self.method, self.url, headers=self.headers, content=content)


class Envelopes:
    """The envelopes of one door, the last few hundred kinds of requests."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Envelope] = OrderedDict()

    def find(self, kind: bytes) -> Envelope | None:
        """What litellm wrote around a request of this kind, if it wrote one."""
        if kind in self._kept:
            self._kept.move_to_end(kind)
        return self._kept.get(kind)

    def keep(self, kind: bytes, written: httpx.Request, ours: Mapping[str, Any]) -> None:
        """Keep the envelope of a request, if everything of ours stands in it as we gave it."""
        body = orjson.loads(written.content)
        if any(name not in body or body[name] != value for name, value in ours.items()):
            return
        self._kept[kind] = Envelope(
            method=written.method,
            url=written.url,
            headers=tuple((k, v) for k, v in written.headers.items() if k != "content-length"),
            fields={name: None if name in ours else value for name, value in body.items()},
        )
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)


def kind_of(provider_type: str, arguments: Mapping[str, Any]) -> bytes | None:
    """What the envelope of a request depends on: all that litellm is told but what is passed on.

    Of that, the names count, and which of them stand for nothing. None: this is no plain JSON.

    Args:
        provider_type: a type of provider to which `extra_body` goes as it is.
        arguments: what litellm is told to ask for.
    """
    told = {name: value for name, value in arguments.items() if name not in _OF_ONE_REQUEST}
    passed_on = [[name, value is None] for name, value in arguments["extra_body"].items()]
    try:
        return orjson.dumps([provider_type, told, passed_on])
    except TypeError:
        return None
