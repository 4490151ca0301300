"""What every Python client is asked to do, and how it tells what it got: one JSON line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

PICTURE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYPgPAAEDAQAIicLsAAAAAElFTkSuQmCC"  # noqa: E501
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "The weather.", "parameters": SCHEMA},
}


_chosen = "mock/m"


def chosen() -> str:
    """The model that the present feature is tried with."""
    return _chosen


def tell(features: Mapping[str, Callable[[], Any]]) -> None:
    """Try what the command line names, in order (`MODEL=FEATURE`), and print what each gave."""
    global _chosen
    told = {}
    for name in sys.argv[1:]:
        _chosen, _, feature = name.partition("=")
        try:
            told[name] = features[feature]()
        except Exception as error:
            told[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(told))


def fails(act: Callable[[], Any]) -> str:
    """The name of what an act raises; an act that succeeds says so."""
    try:
        return f"no error but {act()!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
