"""Other evaluation tools, installed for the benchmark by their registries' ordinary clients into
a folder of their own, and asked never to tell anybody anything.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

QUIET: Final[Mapping[str, str]] = {
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_UPDATE": "1",
    "PROMPTFOO_DISABLE_SHARING": "1",
    "PROMPTFOO_DISABLE_REMOTE_GENERATION": "1",
    "PROMPTFOO_CACHE_ENABLED": "false",
    "NO_UPDATE_NOTIFIER": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


def install_inspect(folder: Path) -> tuple[Path, str]:
    """Inspect AI in a virtual environment: its interpreter and its version."""
    python = folder / "inspect" / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(folder / "inspect")])
        _run([str(python), "-m", "pip", "install", "-q", "inspect_ai", "openai"])
    tell = "from importlib.metadata import version; print(version('inspect_ai'))"
    return python, subprocess.check_output([python, "-c", tell], text=True).strip()


def install_promptfoo(folder: Path) -> tuple[Path, str]:
    """promptfoo in a folder of npm's: that folder and its version."""
    home = folder / "promptfoo"
    package = home / "node_modules" / "promptfoo" / "package.json"
    if not package.exists():
        home.mkdir(exist_ok=True)
        options = ["--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(home)]
        _run(["npm", "install", *options, "promptfoo"])
    return home, json.loads(package.read_text(encoding="utf-8"))["version"]


def _run(command: list[str]) -> None:
    """Output goes to standard error: standard output is the benchmark's JSON."""
    subprocess.run(command, check=True, stdout=sys.stderr)
