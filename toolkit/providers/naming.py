"""Validation of names: providers, keys, variables, models and descriptive texts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from toolkit.errors import InvalidProvider
from toolkit.secret import is_like_key

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MAX_MODEL: Final = 256


def check_name(name: str, what: str = "provider name") -> str:
    """Validate a name and return it.

    Raises:
        InvalidProvider: it is not `[a-z0-9][a-z0-9-]{0,62}`.
    """
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise InvalidProvider(
        f"{short(name)} is not a valid {what}",
        cause="name",
        hint="Use 1 to 63 lower-case letters, digits and hyphens, starting with a letter or digit.",
    )


def check_variable(name: str) -> str:
    """Validate the name of an environment variable and return it.

    Raises:
        InvalidProvider: not a valid name (it is not repeated, because it may be a key given by
            mistake).
    """
    if isinstance(name, str) and _VARIABLE.fullmatch(name):
        return name
    raise InvalidProvider(
        "this is not the name of an environment variable",
        cause="variable",
        hint="Give the variable's name, like ACME_API_KEY, never the key itself.",
    )


def check_text(text: str, what: str, limit: int = 100) -> str:
    """Validate a short display text and return it.

    Raises:
        InvalidProvider: not a string, empty, too long, or with control or direction characters.
    """
    if not isinstance(text, str) or not text.strip():
        raise InvalidProvider(f"the {what} is empty or not a string", cause="text")
    if len(text) > limit:
        raise InvalidProvider(f"the {what} is longer than {limit} characters", cause="text")
    if _CONTROL.search(text):
        raise InvalidProvider(f"the {what} contains control characters", cause="text")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidProvider(f"the {what} contains an unpaired surrogate", cause="text") from None
    return text


def check_model(model_id: str) -> str:
    """Validate a model id, which may contain slashes, and return it.

    Raises:
        InvalidProvider: as `check_text` and `require_no_key`.
    """
    checked = check_text(model_id, "model's id", _MAX_MODEL)
    require_no_key(checked)
    return checked


def require_no_key(name: str) -> None:
    """Refuse a key in place of a name: names are recorded, shown and sent to providers.

    Raises:
        InvalidProvider: it looks like a key; the message does not repeat it.
    """
    if is_like_key(name):
        raise InvalidProvider(
            "what was given as the name of a model looks like an API key",
            cause="key",
            hint="Name a model as PROVIDER/MODEL; a key is stored for its provider. If the key was "
            "typed where others could see it, replace it.",
        )


def key_variables(name: str) -> tuple[str, ...]:
    """Environment variables for the key of a provider without a preset."""
    upper = name.upper().replace("-", "_")
    own = (f"{upper}_API_KEY",) if not upper[0].isdigit() else ()
    return (*own, f"PROVIDER_{upper}_KEY")


def close_names(name: str, names: Iterable[str]) -> list[str]:
    """Up to three similar names, nearest first."""
    from rapidfuzz import fuzz, process

    found = process.extract(
        name.lower(), list(names), scorer=fuzz.WRatio, limit=3, score_cutoff=72.0
    )
    return [match[0] for match in found]


def similar_models(name: str, models: Iterable[str]) -> list[str]:
    """Up to three of `models` (`provider/model_id`) that an unknown name may mean.

    The same id at other providers comes first: people leave the provider out, or take another's.
    """
    from rapidfuzz import fuzz, process

    known, wanted = list(models), name.casefold()
    model_id = wanted.partition("/")[2] or wanted
    same = [
        model
        for model in known
        if model.casefold().endswith(f"/{wanted}") or model.casefold().endswith(f"/{model_id}")
    ]
    has_provider = "/" in wanted
    found = process.extract(
        wanted,
        {model: (model if has_provider else model.partition("/")[2]) for model in known},
        scorer=fuzz.ratio,
        processor=str.casefold,
        limit=3,
        score_cutoff=75.0,
    )
    return list(dict.fromkeys([*same, *(match[2] for match in found)]))[:3]


def short(value: object, limit: int = 60) -> str:
    """Format an external value for a message: quoted, escaped and shortened."""
    text = ascii(value)
    return text if len(text) <= limit else f"{text[:limit]}…"
