"""What the repository's files may hold: locks with hashes, no addresses, no private paths."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_locks_carry_hashes_and_no_address():
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text("utf-8")
        assert "://" not in text
        pins = re.findall(r"^[a-z0-9][^\s=]*==", text, flags=re.MULTILINE)
        blocks = re.split(r"\n(?=[a-zA-Z0-9])", text.strip())
        assert len(pins) > 50
        assert all("--hash=sha256:" in block for block in blocks)


def test_the_lock_without_test_tools_has_what_notebooks_draw_figures_with():
    """Without nbformat plotly raises an error where a figure is the result of a cell."""
    text = (ROOT / "requirements.lock").read_text("utf-8")
    for name in ("ipykernel", "nbformat", "plotly", "tqdm"):
        assert f"\n{name}==" in text


def test_no_address_of_a_registry_and_no_private_path_in_any_tracked_file():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    needles = ("pypi" + ".org", "pythonhosted" + ".org", "registry.npmjs" + ".org")
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in {".png", ".gz", ".parquet"} or not path.is_file():
            continue
        text = path.read_text("utf-8", errors="replace")
        found += [name for needle in needles if needle in text]
    assert not found
