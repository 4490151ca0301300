"""Prompt templates of the Compare page: a prompt with its variables, saved under a name."""

from __future__ import annotations

from typing import Final

import streamlit as st

from toolkit.errors import InvalidInput, ToolkitError
from toolkit.settings import Settings
from toolkit.ui.compare.prompt_variables import variables_of
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.named_entries import MAX_NAME, NamedEntries
from toolkit.ui.components.page_head import leave_notice
from toolkit.ui.components.text import plain

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
