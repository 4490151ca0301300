"""What the theme's settings cannot say: colours for pictures and tables, and a short stylesheet.

The measured contrast of each colour is in `.streamlit/config.toml`, with the theme.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import streamlit as st

from toolkit.charts.states import Colour

STATE_TEXT: Final[Mapping[str, Mapping[Colour, str]]] = {
    "light": {
        "green": "#0A6B4E", "orange": "#8A4B00", "red": "#B3261E", "blue": "#0B5CAD",
        "violet": "#6B3FA0", "gray": "#4F5965",
    },
    "dark": {
        "green": "#62D3A4", "orange": "#F0B860", "red": "#FF9A91", "blue": "#86C0F5",
        "violet": "#C9ADF5", "gray": "#B0BAC5",
    },
}  # fmt: skip
"""Text in the colour of a state, at least 6.5:1 on the page's ground."""

BARS: Final[Mapping[str, Mapping[str, str]]] = {
    "light": {
        "good": "#9CCFBA", "partly": "#E0A030", "bad": "#C93C2B", "none": "#DDE2E7",
        "quiet": "#9BA1A9", "now": "#5B6470", "faint_bad": "#E3938A", "ink": "#0F141A",
        "grid": "#E6EAEE", "axis": "#4F5965",
    },
    "dark": {
        "good": "#2C6653", "partly": "#E8A33D", "bad": "#F0766B", "none": "#2C343D",
        "quiet": "#5C6570", "now": "#B0BAC5", "faint_bad": "#8E4A44", "ink": "#E9EDF2",
        "grid": "#262D35", "axis": "#B0BAC5",
    },
}  # fmt: skip
"""Colours of the small pictures in tables and tiles."""

# Streamlit has no setting for the padding at the sides, and it always writes white on a primary
# button: on a dark ground no accent can carry white text and be readable as text itself. Its
# colours of code were measured at 3.6:1 (light) and 4.3:1 (dark), code in captions (which it draws
# at 60 % opacity) and the key of a shortcut on a primary button at 3.4 to 3.7:1. A link to a page
# is indented, so that the titles of the tiles of Home would not be in line with their numbers.
_STYLE: Final = """
[data-testid="stMainBlockContainer"], [data-testid="stBottomBlockContainer"] {{
  padding-left: 1.75rem; padding-right: 1.75rem;
}}
@media (max-width: 640px) {{
  [data-testid="stMainBlockContainer"], [data-testid="stBottomBlockContainer"] {{
    padding-left: 1rem; padding-right: 1rem;
  }}
}}
{code}
[data-testid="stCaptionContainer"] code {{ color: {caption} !important; }}
[class*="st-key-tile-"] [data-testid="stPageLink-NavLink"] {{ padding-left: 0; }}
button[kind^="primary"] kbd {{ color: inherit !important; opacity: 1 !important; }}
{dark}
"""
_BY_THEME: Final = {
    "light": {"caption": "#000000", "dark": ""},
    "dark": {"caption": "#FFFFFF",
             "dark": 'button[kind^="primary"]:not(:disabled),'
                     ' button[kind^="primary"]:not(:disabled) *,'
                     ' [data-testid="stMultiSelect"] span[title] { color: #08131F !important; }'},
}  # fmt: skip
CODE_TOKENS: Final[Mapping[str, Colour]] = {
    "keyword": "violet", "tag": "violet", "boolean": "violet", "operator": "violet",
    "entity": "violet", "decorator": "violet", "atrule": "violet",
    "string": "green", "char": "green", "attr-value": "green", "inserted": "green",
    "function": "blue", "class-name": "blue", "builtin": "blue", "selector": "blue", "url": "blue",
    "attr-name": "blue", "property": "blue", "variable": "blue",
    "number": "orange", "constant": "orange", "symbol": "orange", "regex": "orange",
    "important": "red", "deleted": "red",
    "comment": "gray", "prolog": "gray", "doctype": "gray", "cdata": "gray",
    "punctuation": "gray", "unchanged": "gray",
}  # fmt: skip
"""The colour of each class of the highlighter that Streamlit colours in a fixed hue of its own."""


def theme_name() -> str:
    """`light` or `dark`, as the reader's browser shows the page."""
    return "dark" if st.context.theme.type == "dark" else "light"


def state_colour(colour: Colour) -> str:
    """The colour of a state as text in this theme."""
    return STATE_TEXT[theme_name()][colour]


def bar_colour(name: str) -> str:
    """A colour of `BARS` in this theme."""
    return BARS[theme_name()][name]


def draw_style() -> None:
    """The stylesheet; it takes no space on the page."""
    st.html(f"<style>{style_sheet(theme_name())}</style>")


def style_sheet(theme: str) -> str:
    """The rules for what the settings of a theme (`light` or `dark`) cannot say."""
    return _STYLE.format(code=_code_rules(STATE_TEXT[theme]), **_BY_THEME[theme])


def _code_rules(colours: Mapping[Colour, str]) -> str:
    """A colour for every token of code; a class that is not listed has the colour of text."""
    rules = [
        ".token { color: inherit !important; }",
        ".namespace { opacity: 1 !important; }",
    ]
    for colour in dict.fromkeys(CODE_TOKENS.values()):
        classes = [name for name, chosen in CODE_TOKENS.items() if chosen == colour]
        selector = ", ".join(f".token.{name}" for name in classes)
        rules.append(f"{selector} {{ color: {colours[colour]} !important; }}")
    return "\n".join(rules)


def is_phone() -> bool:
    """Whether a telephone asks: Streamlit does not say how wide the window is."""
    return "Mobi" in (st.context.headers.get("User-Agent") or "")
