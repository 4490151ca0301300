"""The built-in model from a page: started when it is first wanted, with what is going on shown."""

from __future__ import annotations

import importlib
import importlib.util

import streamlit as st

from toolkit.errors import LocalModelError
from toolkit.toolkit import Toolkit


def start_local(toolkit: Toolkit) -> None:
    """Make sure the built-in model runs; shows progress while it loads.

    Raises:
        LocalModelError: it cannot be started here; the hint says what to do.
    """
    if importlib.util.find_spec("toolkit.local.autostart") is None:
        raise LocalModelError("this installation has no built-in model")
    ensure = importlib.import_module("toolkit.local.autostart").ensure_local
    with st.status("Starting the built-in model", expanded=True) as status:
        ensure(toolkit, lambda message: status.update(label=str(message)))
        status.update(label="The built-in model runs", state="complete")
