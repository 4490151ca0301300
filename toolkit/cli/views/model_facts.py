"""Facts of a model as they are typed: `input=0.20 context=32768 tools=yes`."""

from __future__ import annotations

from typing import Any, Final

from toolkit.errors import InvalidInput

_PRICES: Final = ("input", "output", "cached_input", "cache_write", "reasoning")
_FACTS: Final = ("context_window_tokens", "max_output_tokens", "retires_on", "successor")
_SHORT: Final = {"context": "context_window_tokens", "max-output": "max_output_tokens"}


def read_fact(text: str) -> tuple[str, Any]:
    """Name and value of one fact: `input=0.20`, `context=32768`, `tools=yes`; `input=` undoes.

    Raises:
        InvalidInput: there is no `=` in it.
    """
    name, equals, written = text.partition("=")
    if not equals:
        raise InvalidInput(f"invalid fact: {text!r}", hint="Write it like input=0.20.")
    name = _SHORT.get(name, name)
    if name in _PRICES:
        return f"price:{name}", written or None
    if not written:
        return (name if name in _FACTS else f"capability:{name}"), None
    if name in ("context_window_tokens", "max_output_tokens"):
        return name, int(written) if written.isdigit() else written
    if name in _FACTS:
        return name, written
    return f"capability:{name}", written.lower() in ("yes", "true", "1")
