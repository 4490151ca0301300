"""The documentation site builds without a warning, and loads nothing from other servers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.timeout(600)  # reads every module of the package for the Python reference
def test_the_site_builds_strictly(tmp_path):
    """Strict: a broken link or anchor, or a page that is in no menu, fails."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    home = (tmp_path / "project" / "index.html").read_text("utf-8")
    assert 'href="../reference/python.html"' in home
    loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', home)
    assert loaded == []
    reference = (tmp_path / "reference" / "python.html").read_text("utf-8")
    for name in ("toolkit.complete", "toolkit.providers.service.Providers.add", "toolkit.sql"):
        assert f'id="{name}"' in reference
    assert 'href="#toolkit.records.Reply"' in reference  # types lead to their description
