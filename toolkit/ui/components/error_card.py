"""An expected failure on a page: what happened, the provider's own message, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.ui.components.error_advice import advice_for, headline
from toolkit.ui.components.page_hints import page_hint
from toolkit.ui.components.text import own, plain, sentence


def error_card(error: ToolkitError) -> None:
    """Draw the card; never a traceback, and never a key: messages come redacted."""
    lines = [own(sentence(error.message, names=(error.provider, error.model)))]
    if error.provider_message:
        lines.append(f"Provider message: “{plain(error.provider_message, limit=600)}”")
    if hint := page_hint(error.hint, error.cause) or advice_for(error.code):
        lines.append(f"**What to do:** {own(hint)}")
    lines.append(f"`{error.code}`" + (f" · HTTP {error.status}" if error.status else ""))
    title = headline(error.code)
    st.error("\n\n".join(lines), title=title[:1].upper() + title[1:], icon=":material/error:")


@contextmanager
def errors_shown(title: str | None = None) -> Iterator[None]:
    """Show an expected failure of a page as a card, below `title` where the page drew none."""
    try:
        yield
    except ToolkitError as error:
        if title is not None:
            st.title(title, anchor=False)
        error_card(error)
