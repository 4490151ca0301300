"""A short program ends in silence, and what it wrote is kept."""

from __future__ import annotations

import os
import subprocess
import sys

from toolkit.toolkit import current

PROGRAM = """
from toolkit.toolkit import current
current().providers.add("acme", base_url="http://127.0.0.1:9999/v1", local=True, test=False)
"""


def test_a_short_program_ends_in_silence_and_its_row_is_kept():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [row["name"] for row in current().store.rows("SELECT name FROM providers")] == ["acme"]
