"""Each colour of the theme can be read on its ground, and states look the same everywhere."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
import streamlit

from toolkit.charts import states
from toolkit.ui.components.theme import CODE_TOKENS, STATE_TEXT, style_sheet

CONFIG = Path(__file__).resolve().parents[2] / ".streamlit" / "config.toml"
THEME = tomllib.loads(CONFIG.read_text("utf-8"))["theme"]
GROUPS = ("PROVIDER", "PANE", "VERDICT", "RUN", "CHECK", "OBJECTIVE", "INCIDENT", "BUDGET")
NAMES = ("green", "orange", "red", "blue", "violet", "gray", "yellow")


def contrast(one: str, other: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lights = sorted((light(one), light(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_on_its_ground(scheme):
    theme = THEME[scheme]
    grounds = (theme["backgroundColor"], theme["secondaryBackgroundColor"])
    for name in ("textColor", "linkColor"):
        assert all(contrast(theme[name], ground) >= 4.5 for ground in grounds), name
    for name in NAMES:
        text = theme[f"{name}TextColor"]
        assert contrast(text, theme["backgroundColor"]) >= 4.5, name
        assert contrast(text, theme[f"{name}BackgroundColor"]) >= 4.5, name
    assert contrast(theme["codeTextColor"], theme["codeBackgroundColor"]) >= 4.5
    head = theme["dataframeHeaderTextColor"]
    assert contrast(head, theme["dataframeHeaderBackgroundColor"]) >= 4.5
    ink = "#FFFFFF" if scheme == "light" else "#08131F"
    assert contrast(theme["primaryColor"], ink) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_token_of_code_is_readable_on_the_ground_of_code(scheme):
    ground = THEME[scheme]["codeBackgroundColor"]
    assert contrast(THEME[scheme]["textColor"], ground) >= 4.5  # tokens without a colour
    style = style_sheet(scheme)
    for name in CODE_TOKENS:
        (colour,) = re.findall(rf"\.token\.{name}\b[^{{}}]*{{ color: (#\w+) !important; }}", style)
        assert contrast(colour, ground) >= 4.5, name


def test_no_token_of_code_keeps_the_fixed_hue_that_streamlit_gives_it():
    scripts = Path(streamlit.__file__).parent / "static" / "static" / "js"
    texts = [script.read_text("utf-8") for script in scripts.glob("*.js")]
    rules = [rule for text in texts for rule in re.findall(r'"(\.token\.[^"]+)":{color:', text)]
    coloured = {name for rule in rules for name in re.findall(r"\.token\.([\w-]+)", rule)}
    assert {"comment", "variable", "unchanged"} <= coloured
    assert coloured <= set(CODE_TOKENS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_states_in_tables_have_the_theme_s_colours(scheme):
    for name, colour in STATE_TEXT[scheme].items():
        assert THEME[scheme][f"{name}TextColor"] == colour


def test_no_code_block_scrolls_sideways():
    pages = Path(__file__).resolve().parents[2] / "toolkit" / "ui"
    for path in pages.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "st.code":
                wraps = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert wraps.get("wrap_lines") == "True", f"{path.name}:{node.lineno}"


def test_every_state_has_a_symbol_a_word_and_a_known_colour():
    for group in GROUPS:
        found = getattr(states, group).values()
        assert len({(state.symbol, state.word) for state in found}) == len(found)
        for state in found:
            assert len(state.symbol) == 1 and state.word
            assert state.colour in STATE_TEXT["light"]
            assert ord(state.symbol) < 0x10000  # no emoji, which brings colours of its own


def test_a_call_says_its_cause_in_words_and_never_its_code():
    assert states.call_state("ok").label == "✓ ok"
    assert states.call_state("ok", attempts=2).label == "↻ ok, 2nd try"
    assert states.call_state("error", "RATE_LIMIT_EXCEEDED").label == "✕ rate limited"
    assert states.call_state("error", "SOMETHING_NEW").label == "✕ something new"
    assert states.call_state("cancelled").label == "■ stopped"
