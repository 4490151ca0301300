"""The OpenAPI document, tried by schemathesis: what it promises holds, and nothing leaks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

KEY = "sk-" + "s" * 40
LEAK = re.compile(r"Traceback|site-packages|\.py\b|/home/|/root/|/tmp/|C:\\\\")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(
    os.environ.get("TOOLKIT_TEST_PROFILE") != "fuzz",
    reason="takes many minutes with the routes of all API formats; `make fuzz` runs it",
)
def test_every_promise_of_the_document_holds_and_no_body_leaks(served, home, tmp_path):
    """All checks, over examples, boundary values and random input; then every body is searched."""
    provider = served.provider
    served.toolkit.providers.registry.add("keyed", base_url=provider.base_url, is_local=True)
    served.toolkit.keys.set("keyed", KEY)
    done = _run_schemathesis(served, tmp_path / "traffic.har")
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    entries = json.loads((tmp_path / "traffic.har").read_text("utf-8"))["log"]["entries"]
    assert len({(e["request"]["method"], e["response"]["status"]) for e in entries}) > 10
    assert sum(bool(e["response"]["content"].get("text")) for e in entries) > 100
    for entry in entries:
        _refuse_leaks(entry, KEY, served.token, str(home))


# What a schema cannot say: an address that is not allowed, a key that is missing, a name that is
# taken. Such input is refused with one of these, and with a reason.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 402, 404, 409, 422, 424, 429, 502, 503, 504]
"""


def _run_schemathesis(served, har: Path) -> subprocess.CompletedProcess[str]:
    command = [
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("run", f"{served.url}/api/openapi.json", "--checks", "all", "--mode", "all"),
        *("-H", f"Authorization: Bearer {served.token}"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "3", "--seed", "7"),
        *("--no-shrink", "--workers", "1", "--request-timeout", "120"),
        *("--max-response-time", "120"),
        *("--continue-on-failure", "--report-har-path", str(har), "--no-color"),
        *("--output-truncate", "false", "--suppress-health-check", "all", "--warnings", "off"),
    ]
    (har.parent / "schemathesis.toml").write_text(CONFIG)
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "", "NO_COLOR": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=800, cwd=har.parent, env=environment
    )


def _refuse_leaks(entry, *secrets: str) -> None:
    response = entry["response"]
    said = json.dumps([response["content"].get("text", ""), response["headers"]])
    where = f"{entry['request']['method']} {entry['request']['url']}: {said[:500]}"
    assert response["status"] < 500 or response["status"] in (502, 503, 504), where
    assert not LEAK.search(said), where
    for secret in secrets:
        assert secret not in said, where
