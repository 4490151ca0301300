"""The built-in model from a page: started when it is first wanted, with its progress shown."""

from __future__ import annotations

import streamlit as st

from toolkit.local.autostart import ensure_local
from toolkit.toolkit import Toolkit


def start_local(toolkit: Toolkit) -> None:
    """Make sure the built-in model runs; shows progress while it loads.

    Raises:
        LocalModelError: it cannot be started here; the hint says what to do.
    """
    with st.status("Starting the built-in model", expanded=True) as status:
        ensure_local(toolkit, lambda message: status.update(label=str(message)))
        status.update(label="The built-in model is running", state="complete")
