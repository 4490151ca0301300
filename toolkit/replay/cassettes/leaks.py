"""The last check of a cassette before it is written: does it still contain a secret?

A key that a model repeats token by token is in no single chunk, so the chunks of a stream are
joined, field by field, before they are searched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from toolkit.replay.cassettes.exchange import Exchange, parse_json
from toolkit.replay.cassettes.scrub import Scrubber
from toolkit.replay.cassettes.cassette_file import CassetteFile, render_cassette


def find_cassette_leaks(content: CassetteFile, scrubber: Scrubber) -> list[str]:
    """Names of secrets and key patterns still in it (empty: it may be written)."""
    found = set(scrubber.find_leaks(render_cassette(content)))
    for exchange in content.exchanges:
        for text in _texts(exchange):
            found.update(scrubber.find_leaks(text))
    return sorted(found)


def _texts(exchange: Exchange) -> Iterator[str]:
    yield exchange.body.decode("latin-1")
    yield exchange.request_body.decode("latin-1")
    said: dict[str, list[str]] = defaultdict(list)
    _collect(parse_json(exchange.request_body), "asked", said)
    for part in _json_parts(exchange):
        _collect(part, "said", said)
    yield from ("".join(pieces) for pieces in said.values())


def _json_parts(exchange: Exchange) -> Iterator[Any]:
    if not exchange.is_stream:
        yield parse_json(exchange.body)
        return
    for line in exchange.body.splitlines():
        yield parse_json(line.removeprefix(b"data:").strip())


def _collect(value: Any, path: str, said: dict[str, list[str]]) -> None:
    """Strings by their place, without indexes of list items, so that the parts of one text are joined."""
    if isinstance(value, str):
        said[path].append(value)
    elif isinstance(value, dict):
        for name, item in value.items():
            _collect(item, f"{path}.{name}", said)
    elif isinstance(value, list):
        for item in value:
            _collect(item, path, said)
