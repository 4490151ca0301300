"""The app is served to this machine only, and the one list of flags agrees with the config."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from toolkit.ui.server import (
    HOST,
    app_script_path,
    frame_script_path,
    serve_command,
    streamlit_flags,
)

ROOT = Path(__file__).resolve().parents[2]


def flags():
    told = {}
    for flag in streamlit_flags(8600):
        name, _, value = flag.removeprefix("--").partition("=")
        told.setdefault(name, []).append(value)
    return told


def test_the_flags_and_the_config_say_the_same():
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))
    for name, values in flags().items():
        if name == "server.port":
            continue
        section, _, key = name.partition(".")
        told = config[section][key]
        expected = (
            told
            if isinstance(told, list)
            else [str(told).lower() if told in (True, False) else str(told)]
        )
        assert values == expected, name


def test_only_this_machine_is_served_and_nothing_is_reported_anywhere():
    told = flags()
    assert told["server.address"] == [HOST] == ["127.0.0.1"]
    assert told["browser.gatherUsageStats"] == ["false"]
    assert told["client.showErrorDetails"] == ["none"]


def test_scripts_are_where_they_are_said_to_be():
    assert app_script_path().is_file() and frame_script_path().is_file()
    assert str(app_script_path()) in serve_command()


def test_knowing_the_flags_needs_no_streamlit():
    code = "import sys, toolkit.ui.server; print('streamlit' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "False"


def test_each_page_stands_in_the_navigation():
    frame = frame_script_path().read_text("utf-8")
    pages = {p.name for p in frame_script_path().parent.glob("*.py")} - {"frame.py", "__init__.py"}
    assert {"home.py", "compare.py", "calls.py", "providers.py"} <= pages
    assert all(f'"{name}"' in frame for name in pages)
