"""How the app is served: the one list of flags, and where its script lies. No streamlit here."""

from __future__ import annotations

import sys
from pathlib import Path

HOST = "127.0.0.1"
DEFAULT_PORT = 8501

_GUARDS = (
    ("server.address", HOST),
    ("server.allowedHosts", "localhost"),  # a list is written as one flag for each entry
    ("server.allowedHosts", HOST),
    ("server.headless", "true"),
    ("server.fileWatcherType", "none"),
    ("server.maxUploadSize", "10"),
    ("server.maxMessageSize", "50"),
    ("server.enableStaticServing", "false"),
    ("server.enableAgentApi", "false"),
    ("browser.gatherUsageStats", "false"),
    ("browser.serverAddress", HOST),
    ("client.showErrorDetails", "none"),
    ("client.showErrorLinks", "false"),
    ("client.toolbarMode", "minimal"),
)


def streamlit_flags(port: int) -> list[str]:
    """The flags that guard the app wherever it is started from: this machine only, no telemetry."""
    return [f"--{name}={value}" for name, value in (("server.port", port), *_GUARDS)]


def app_script_path() -> Path:
    """`app.py` of the checkout, or the copy that the installed package carries."""
    package = Path(__file__).resolve().parent
    installed = package / "app.py"
    return installed if installed.is_file() else package.parents[1] / "app.py"


def serve_command(port: int = DEFAULT_PORT) -> list[str]:
    """The command that serves the app on 127.0.0.1, for `subprocess`."""
    script = str(app_script_path())
    return [sys.executable, "-m", "streamlit", "run", script, *streamlit_flags(port)]


def frame_script_path() -> Path:
    """The script that draws the navigation and the page chosen in it."""
    return Path(__file__).resolve().parent / "pages" / "frame.py"
