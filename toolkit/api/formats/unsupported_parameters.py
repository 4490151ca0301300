"""Parameters that a provider does not take: what the gateway may drop, and how it says so."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from toolkit.errors import InvalidRequest
from toolkit.records import Reply

UnsupportedPolicy = Literal["error", "drop", "neutral"]
"""What becomes of a parameter that the provider does not take; `neutral` drops it where its
value changes nothing."""

POLICY_HEADER: Final = "x-toolkit-on-unsupported"
DROPPED_HEADER: Final = "x-toolkit-dropped-parameters"
_REFUSAL: Final = re.compile(
    r"unsupported|not support|unrecognized|unknown|unexpected|extra inputs|does not take"
    r"|not (?:permitted|allowed)",
    re.I,
)
_POLICIES: Final[Mapping[str, UnsupportedPolicy]] = {
    "error": "error",
    "drop": "drop",
    "neutral": "neutral",
}


def read_policy(header: str | None) -> UnsupportedPolicy | None:
    """The policy that a request header names; None where it names none."""
    return _POLICIES.get((header or "").strip().lower())


def dropped_header(names: Sequence[str]) -> dict[str, str]:
    """The header that names the parameters which were dropped."""
    return {DROPPED_HEADER: ", ".join(names)} if names else {}


def dropped_names(reply: Reply) -> list[str]:
    """The parameters that the call path left out, as the notes of a reply say."""
    notes = (note for note in reply.notes if re.search("dropped|left out", note))
    return [name for note in notes for name in re.findall(r"`(\w+)`", note)]


def refused_parameters(error: InvalidRequest, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a request that an error names as not supported."""
    text = f"{error.message} {error.provider_message or ''}"
    if error.status not in (None, 400, 422) or not _REFUSAL.search(text):
        return {}
    given = {**(params.get("extra_body") or {}), **params}
    named = set(re.findall(r"\w+", text)) - {"extra_body", "model", "messages"}
    return {name: given[name] for name in sorted(named & given.keys())}


def with_hint(error: InvalidRequest, refused: Mapping[str, Any]) -> InvalidRequest:
    """The error with a hint that a client of the gateway can follow."""
    if refused:
        names = ", ".join(f"`{name}`" for name in refused)
        error.hint = (
            f"Leave out {names}, or send the header `X-Toolkit-On-Unsupported: drop` "
            '(or the field `"on_unsupported": "drop"`).'
        )
    return error


def is_neutral(name: str, value: Any, params: Mapping[str, Any]) -> bool:
    """Whether a parameter can be left out without changing what is asked for.

    `seed` counts as neutral: even where it is taken it is a best effort, and where it is not
    taken nothing can be repeated with or without it.
    """
    if name == "parallel_tool_calls":
        return value is True or len(params.get("tools") or ()) <= 1
    if name == "tool_choice":
        return value == "auto" or not params.get("tools")
    if name in ("seed", "prompt_cache_key", "user", "metadata"):
        return True
    neutral: Mapping[str, tuple[Any, ...]] = {
        "presence_penalty": (0,),
        "frequency_penalty": (0,),
        "repetition_penalty": (1,),
        "min_p": (0,),
        "top_k": (0, -1),
        "top_p": (1,),
        "temperature": (1,),
        "n": (1,),
        "best_of": (1,),
        "logprobs": (False,),
        "top_logprobs": (0,),
        "logit_bias": ({},),
        "stop": ([], ""),
        "tools": ([],),
        "functions": ([],),
        "function_call": ("auto", "none"),
        "service_tier": ("auto", "default", "standard", "standard_only"),
        "modalities": (["text"],),
        "verbosity": ("medium",),
        "response_format": ({"type": "text"},),
        "thinking": ({"type": "disabled"},),
    }
    return any(_is_same(value, known) for known in neutral.get(name, ()))


def _is_same(value: Any, known: Any) -> bool:
    return bool(value == known) and isinstance(value, bool) == isinstance(known, bool)
