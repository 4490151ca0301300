"""The OpenAPI document, tried by schemathesis: what it promises holds, and nothing leaks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

KEY = "sk-" + "s" * 40
ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {str(path) for path in (ROOT, Path.home(), Path(tempfile.gettempdir()))} - {"/"}
LEAK = re.compile(
    "|".join([r"Traceback|site-packages|\.py\b|/home/|C:\\\\", *map(re.escape, sorted(FOLDERS))])
)
IS_FUZZ = os.environ.get("TOOLKIT_TEST_PROFILE") == "fuzz"


@pytest.mark.timeout(1800 if IS_FUZZ else 600)
def test_every_promise_of_the_document_holds_and_no_body_leaks(served, home, tmp_path):
    """Valid and invalid requests for every operation; then every response is searched.

    The number of requests is bounded and they are the same in each run. `make fuzz` sends all
    boundary values and more random ones, which takes many minutes.
    """
    provider = served.provider
    # The examples of the document name this provider: a real local model takes seconds a call.
    served.toolkit.providers.registry.add("local", base_url=provider.base_url, is_local=True)
    served.toolkit.providers.registry.add("keyed", base_url=provider.base_url, is_local=True)
    served.toolkit.keys.set("keyed", KEY)
    done = _run_schemathesis(served, tmp_path / "traffic.har")
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    entries = json.loads((tmp_path / "traffic.har").read_text("utf-8"))["log"]["entries"]
    paths = {(e["request"]["method"], e["request"]["url"].partition("?")[0]) for e in entries}
    operations = served.ask("GET", "/api/openapi.json").json()["paths"].values()
    assert len(paths) >= sum(map(len, operations))
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
    phases, examples = ("examples,coverage,fuzzing", "30") if IS_FUZZ else ("examples,fuzzing", "6")
    command = [
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("run", f"{served.url}/api/openapi.json", "--checks", "all", "--mode", "all"),
        # A provider that cannot be reached is a 502; `_refuse_leaks` knows which are allowed.
        *("--exclude-checks", "not_a_server_error"),
        *("-H", f"Authorization: Bearer {served.token}"),
        *("--phases", phases, "--max-examples", examples, "--seed", "7"),
        *("--no-shrink", "--workers", "1", "--request-timeout", "300"),
        # Its default of ten seconds would test how busy this machine is.
        *("--max-response-time", "300"),
        *("--continue-on-failure", "--report-har-path", str(har), "--no-color"),
        *("--output-truncate", "false", "--suppress-health-check", "all", "--warnings", "off"),
    ]
    (har.parent / "schemathesis.toml").write_text(CONFIG)
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "", "NO_COLOR": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=1700, cwd=har.parent, env=environment
    )


def _refuse_leaks(entry, *secrets: str) -> None:
    response = entry["response"]
    said = json.dumps([response["content"].get("text", ""), response["headers"]])
    where = f"{entry['request']['method']} {entry['request']['url']}: {said[:500]}"
    assert response["status"] < 500 or response["status"] in (502, 503, 504), where
    assert not LEAK.search(said), where
    for secret in secrets:
        assert secret not in said, where
