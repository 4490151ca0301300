"""The built-in model from a page: started when it is first wanted, with what is going on shown."""

from __future__ import annotations

import importlib
import importlib.util

import streamlit as st

from toolkit.errors import LocalModelError
from toolkit.workbench.bench import Workbench


def start_local(bench: Workbench) -> None:
    """Make sure the built-in model runs; shows progress while it loads.

    Raises:
        LocalModelError: it cannot be started here; the hint says what to do.
    """
    if importlib.util.find_spec("toolkit.workbench.local") is None:
        raise LocalModelError("this installation has no built-in model")
    ensure = importlib.import_module("toolkit.workbench.local").ensure_local
    with st.status("Starting the built-in model", expanded=True) as status:
        ensure(bench, lambda message: status.update(label=str(message)))
        status.update(label="The built-in model runs", state="complete")
