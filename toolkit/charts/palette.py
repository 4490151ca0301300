"""One colour per thing, the same on every page, in hues that colour-blind people can distinguish.

The hues are Okabe and Ito's, in the order the theme gives them.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
PURPLE, SKY, VERMILION = "#CC79A7", "#56B4E9", "#D55E00"
CATEGORIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION)
GREY = "#8A8F98"
RED, QUIET = "#C93C2B", "#9FB4C9"
"""What is broken, and what is only counted."""
_CALM = CATEGORIES[:-1]

PHASES = {
    "queued": "#9AA0A6",
    "connecting": PURPLE,
    "waiting": ORANGE,
    "reasoning": SKY,
    "answering": GREEN,
    "closing": "#C8CCD1",
    "failed": VERMILION,
}
"""Colours of the parts of a call; `failed` is the only red: red is for what is broken."""


def colours_of(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name, fixed by the name alone wherever two of them do not collide.

    A name keeps its own hue whatever else is drawn; only a name whose hue is taken moves to the
    next free one, in alphabetical order, so a chart never depends on the order of its rows.
    More than six names share grey from the seventh on.
    """
    chosen: dict[str, str] = {}
    for name in sorted(set(names)):
        first = blake2b(name.encode(), digest_size=2).digest()
        start = int.from_bytes(first) % len(_CALM)
        # Vermilion comes last: red is for what is broken, and a model is not.
        hues = (*_CALM[start:], *_CALM[:start], VERMILION)
        chosen[name] = next((hue for hue in hues if hue not in chosen.values()), GREY)
    return chosen
