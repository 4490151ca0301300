"""The frame: pages, API routes and a lifespan in one process.

`streamlit run app.py` and `uvicorn app:app` serve the same thing; the wheel carries this file
as `toolkit/ui/app.py`.
"""

import streamlit as st

from toolkit.ui.lifespan import find_routes, lifespan, on_script_error
from toolkit.ui.server import frame_script_path

app = st.App(
    frame_script_path(),
    routes=find_routes(),
    lifespan=lifespan,
    on_script_error=on_script_error,
)
