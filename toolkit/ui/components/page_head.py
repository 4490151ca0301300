"""The head of a page: its title, the answer as a sentence, and its controls in one row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from toolkit.ui.components.theme import is_phone


@contextmanager
def page_head(title: str, sentence: str = "") -> Iterator[None]:
    """Draw title and sentence; elements inside are drawn at the right of the same row.

    Args:
        title: the page's name.
        sentence: Markdown of our own; foreign names in it must be escaped by the caller.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.title(title, width="content", anchor=False)
        if is_phone():
            st.space("stretch")
        st.markdown(sentence or "\u00a0", width="stretch")
        yield


def section(title: str) -> None:
    """The head of a part of a page; always the level below the title."""
    st.header(title, anchor=False)


def empty(sentence: str) -> None:
    """What the page is for, where it has nothing to show; the one useful button follows."""
    st.markdown(sentence)


_NOTICE = "notice"


def leave_notice(text: str) -> None:
    """Say something when the page is next drawn: after a change that draws it again."""
    st.session_state[_NOTICE] = text


def draw_notice() -> None:
    """Show what was left by `leave_notice`, once."""
    if text := st.session_state.pop(_NOTICE, None):
        st.toast(text)
