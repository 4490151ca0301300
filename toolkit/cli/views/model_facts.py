"""Facts of a model as they are typed: `input=0.20 context=32768 tools=yes`."""

from __future__ import annotations

import re
from typing import Any, Final

from toolkit.errors import InvalidInput
from toolkit.pricing.price import PRICE_CLASSES

_FACTS: Final = ("context_window_tokens", "max_output_tokens", "retires_on", "successor")
_SHORT: Final = {"context": "context_window_tokens", "max-output": "max_output_tokens"}


def read_fact(text: str) -> tuple[str, Any]:
    """Return name and value of one property of a model, as it is typed.

    `input=0.20`, `input@flex=0.1`, `input>200000=0.4`, `context=32768`, `tools=yes`; without a
    value (`input=`) the user's own is removed.

    Raises:
        InvalidInput: there is no `=` in it.
    """
    name, equals, written = text.partition("=")
    if not equals:
        raise InvalidInput(f"invalid fact: {text!r}", hint="Use the form input=0.20.")
    name = _SHORT.get(name, name)
    is_switch = written.lower() in ("yes", "no", "true", "false")  # `web_search` is both
    if re.split("[@>]", name)[0] in PRICE_CLASSES and not is_switch:
        return f"price:{name}", written or None
    if not written:
        return (name if name in _FACTS else f"capability:{name}"), None
    if name in ("context_window_tokens", "max_output_tokens"):
        return name, int(written) if written.isdigit() else written
    if name in _FACTS:
        return name, written
    return f"capability:{name}", written.lower() in ("yes", "true", "1")
