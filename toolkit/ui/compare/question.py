"""The question of the Compare page: the prompt box, its templates and buttons, and its cost."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import streamlit as st

from toolkit.charts.numbers import money
from toolkit.compare.new_board import MIN_PANES
from toolkit.errors import InvalidInput, ToolkitError
from toolkit.records import Message
from toolkit.settings import Settings
from toolkit.toolkit import Toolkit
from toolkit.ui.compare.conversation_panel import close_conversation, forget_branch
from toolkit.ui.compare.session import CompareState
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.named_entries import MAX_NAME, NamedEntries
from toolkit.ui.components.page_head import leave_notice
from toolkit.ui.components.text import plain

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


FILE: Final = "prompts.json"
MAX_CHARS: Final = 20_000
_TEMPLATES: Final = NamedEntries(FILE, "prompt template")
_TROUBLE: Final = "template-trouble"


def read_templates(settings: Settings) -> dict[str, str]:
    """The saved prompts by name; entries that are not text are left out."""
    found = _TEMPLATES.read(settings)
    return {name: text for name, text in found.items() if isinstance(text, str)}


def save_template(settings: Settings, name: str, prompt: str | None) -> None:
    """Save a prompt under a name, or delete the template where `prompt` is None.

    Raises:
        InvalidInput: the name or the prompt is empty or too long, or there are too many templates.
        FileLocked: another process is saving.
    """
    if prompt is not None and not 0 < len(prompt.strip()) <= MAX_CHARS:
        raise InvalidInput(
            f"a prompt template has 1 to {MAX_CHARS:,} characters",
            hint="Type the prompt first, then save it under a name.",
        )
    _TEMPLATES.save(settings, name, prompt)


def draw_templates(settings: Settings, prompt_key: str) -> None:
    """Draw the menu: each template fills the prompt box, and its present text can be saved."""
    with st.popover("Templates", icon=":material/text_snippet:", type="tertiary"):
        templates = read_templates(settings)
        for number, (name, text) in enumerate(templates.items()):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.button(plain(name), key=f"template-{number}", type="tertiary",
                          width="stretch", help=plain(text, limit=300),
                          on_click=_use, args=(prompt_key, text))  # fmt: skip
                st.button("Delete", key=f"template-delete-{number}", type="tertiary",
                          icon=":material/close:", on_click=_save,
                          args=(settings, name, None))  # fmt: skip
            if names := variables_of(text):
                st.caption(f"Variables: {plain(', '.join(names))}")
        if not templates:
            st.caption(
                "Save a prompt that you send often. Write the parts that change as variables, "
                "for example {{ city }}; each gets a field when you use the template."
            )
        with st.form("save-template", border=False, clear_on_submit=True):
            new = st.text_input("Name", key="template-name", max_chars=MAX_NAME)
            saved = st.form_submit_button(
                "Save this prompt",
                icon=":material/bookmark_add:",
                help="A template of the same name is replaced.",
            )
        if saved:
            _save(settings, new or "", st.session_state.get(prompt_key) or "")
            st.rerun()
        if (error := st.session_state.pop(_TROUBLE, None)) is not None:
            error_card(error)


def _use(prompt_key: str, text: str) -> None:
    st.session_state[prompt_key] = text


def _save(settings: Settings, name: str, prompt: str | None) -> None:
    try:
        save_template(settings, name, prompt)
    except ToolkitError as error:
        st.session_state[_TROUBLE] = error
        return
    shown = " ".join(name.split())
    leave_notice(f"The template {shown} is {'saved' if prompt is not None else 'deleted'}.")


PROMPT: Final = "compare-prompt"
"""Key of the prompt box."""
_IMAGES: Final = ("png", "jpg", "jpeg", "webp", "gif")


def draw_question(toolkit: Toolkit, state: CompareState) -> None:
    """Draw the prompt box, the variables of its prompt, and the buttons that send it."""
    if state.next_prompt is not None:
        st.session_state[PROMPT], state.next_prompt = state.next_prompt, None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        prompt = st.text_area(
            "Prompt",
            key=PROMPT,
            height=68,
            placeholder="Type a question for all models. Ctrl+Enter sends it. {{ name }} is a "
            "variable.",
            persist_state="session",
            label_visibility="collapsed",
        )
        with st.container(width="content", gap="small"):
            _buttons(toolkit, state)
            st.caption(_estimate(toolkit, state, filled_prompt(prompt or "")))
    draw_variables(prompt or "")


def _buttons(toolkit: Toolkit, state: CompareState) -> None:
    with st.container(horizontal=True, width="content"):
        if state.is_running:
            st.button("Stop", icon=":material/stop:", on_click=_stop, args=(state,))
            return
        st.button(
            "Run",
            type="primary",
            icon=":material/play_arrow:",
            on_click=_run,
            args=(toolkit, state, False),
            disabled=len(state.choices) < MIN_PANES,
            shortcut="Ctrl+Enter",
            help="Sends the question to all models at once.",
        )
        if state.board is not None:
            st.button(
                "Follow up",
                icon=":material/reply_all:",
                on_click=_run,
                args=(toolkit, state, True),
                disabled=len(state.choices) != len(state.board.panes),
                help="Sends another question to the same models; each keeps its own conversation.",
            )
        with st.popover("Image", icon=":material/image:", type="tertiary"):
            st.file_uploader(
                "Images for the question", type=list(_IMAGES), accept_multiple_files=True,
                key="compare-images",
            )  # fmt: skip
        draw_templates(toolkit.settings, PROMPT)


def _estimate(toolkit: Toolkit, state: CompareState, prompt: str) -> str:
    """What the question will probably cost, before it is asked."""
    number = len(state.choices)
    if number < MIN_PANES:
        return "Choose at least two models."
    if not prompt.strip():
        return f"{number} models"
    total, unpriced = Decimal(0), 0
    for choice in state.choices:
        params = {**state.shared, **choice.params}
        usd = _expected_usd(toolkit, choice.model, prompt, json.dumps(params, sort_keys=True))
        if usd is None:
            unpriced += 1
        else:
            total += usd
    if unpriced == number:
        return f"{number} models · unpriced"
    more = f", {unpriced} unpriced" if unpriced else ""
    return f"{number} models · ~{money(total)}{more}".replace("$", "\\$")


@st.cache_resource(ttl=60, max_entries=256, show_spinner=False)  # type: ignore[untyped-decorator]
def _expected_usd(_toolkit: Toolkit, model: str, prompt: str, params: str) -> Decimal | None:
    try:
        estimate = _toolkit.estimate(model, prompt, **json.loads(params))
    except ToolkitError:
        return None  # a model that cannot be asked says so in its own pane
    return estimate.expected_usd


def _stop(state: CompareState) -> None:
    if state.running is not None:
        state.running.stop()


def _run(toolkit: Toolkit, state: CompareState, follows: bool) -> None:
    text = filled_prompt(st.session_state.get(PROMPT) or "")
    images = st.session_state.get("compare-images") or []
    prompt: str | list[Message] = _with_images(text, images) if images else text
    is_blind = bool(st.session_state.get("compare-blind"))
    state.ask(toolkit, prompt, is_blind=is_blind, follows=follows)
    if state.board_id:
        forget_branch()
        close_conversation()
        st.query_params["board"] = state.board_id


def _with_images(text: str, images: Sequence[Any]) -> list[Message]:
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}] if text.strip() else []
    for image in images:
        data = base64.b64encode(image.getvalue()).decode()
        kind = image.type if str(image.type).startswith("image/") else "image/png"
        parts.append({"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}})
    return [{"role": "user", "content": parts}]
