"""The snippets of README and docs run as written, offline, page by page.

Python and shell blocks run in order, each page in a home folder of its own, with `toolkit`
imported as `tk`. A mock server answers as `openai`, and in place of the built-in model, which the
notebooks run. A block after a comment `<!-- not run: REASON -->` is skipped. Blocks of TOML, JSON
and YAML only have to be valid.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.servers.mock_provider import MockProvider

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(
    r"^(?P<skip><!-- not run: [^>]+ -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$",
    flags=re.MULTILINE | re.DOTALL,
)
_SHELL = ("sh", "bash")
_BUILT_IN = "local/smollm2-135m"


def blocks(page: Path, *kinds: str) -> list[tuple[str, str]]:
    """The blocks of these kinds that are not skipped, in order."""
    found = _BLOCK.finditer(page.read_text("utf-8"))
    wanted = [m for m in found if m["kind"] in kinds and not m["skip"]]
    if page.name == "README.md":  # its shell blocks serve the app and the gateway
        wanted = [m for m in wanted if m["kind"] not in _SHELL]
    return [(m["kind"], m["text"]) for m in wanted]


_RUNNABLE = [page for page in PAGES if blocks(page, "python", *_SHELL)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_configuration_in_documents_is_valid(page):
    for kind, text in blocks(page, "toml", "yaml", "json"):
        {"toml": tomllib.loads, "yaml": yaml.safe_load, "json": json.loads}[kind](text)


@pytest.mark.skipif(os.name == "nt", reason="the shell blocks are written for POSIX shells")
@pytest.mark.parametrize("page", _RUNNABLE, ids=lambda page: page.name)
def test_snippets_run(page, home, tmp_path):
    with MockProvider() as server:
        environment = {
            **os.environ,
            "OPENAI_API_KEY": "sk-test-0123456789abcdefghij",
            "OPENAI_BASE_URL": server.base_url,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TOOLKIT_HOME": str(home),
        }
        folder = tmp_path / "work"
        shutil.copytree(ROOT / "cassettes", folder / "cassettes")
        for command in _commands(page):
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"


def _commands(page: Path) -> list[list[str]]:
    """Each shell block as a command, consecutive Python blocks as one program."""
    commands: list[list[str]] = []
    for kind, text in blocks(page, "python", *_SHELL):
        text = text.replace(_BUILT_IN, "openai/gpt-5-mini")
        if kind in _SHELL:
            commands.append(["bash", "-euo", "pipefail", "-c", text])
        elif commands and commands[-1][0] == sys.executable:
            commands[-1][-1] += text
        else:
            commands.append([sys.executable, "-c", f"import toolkit as tk\n{text}"])
    return commands
