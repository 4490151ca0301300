"""Variables of a prompt on Compare: `{{ city }}` gets a field, and its value when it is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import streamlit as st

MAX_VARIABLES: Final = 12
_VARIABLE: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]{0,39})\s*\}\}")
_PER_ROW: Final = 4


def variables_of(prompt: str) -> list[str]:
    """The names of a prompt's variables, each once, in order."""
    return list(dict.fromkeys(_VARIABLE.findall(prompt)))[:MAX_VARIABLES]


def fill_variables(prompt: str, values: Mapping[str, str]) -> str:
    """The prompt with its values; a variable without one stays as it is written.

    A value is put in as it is: braces in it are no variables.
    """
    return _VARIABLE.sub(lambda found: values.get(found[1]) or found[0], prompt)


def draw_variables(prompt: str) -> None:
    """Draw a field for each variable of a prompt."""
    names = variables_of(prompt)
    for first in range(0, len(names), _PER_ROW):
        row = names[first : first + _PER_ROW]
        for column, name in zip(st.columns(_PER_ROW), row, strict=False):
            column.text_input(
                name, key=_key(name), persist_state="session",
                placeholder="left as it is where empty",
            )  # fmt: skip


def filled_prompt(prompt: str) -> str:
    """The prompt with the values of this session."""
    return fill_variables(
        prompt, {name: st.session_state.get(_key(name)) or "" for name in variables_of(prompt)}
    )


def _key(name: str) -> str:
    return f"variable-{name}"
