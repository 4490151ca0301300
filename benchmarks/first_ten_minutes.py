"""A stranger's first ten minutes from a fresh clone, step by step, with the time of each.

Clones this repository, installs what the lock names, then runs notebook 1 in a real kernel, serves
the app, runs a first evaluation and a first regression suite, and sees the suite notice a changed
prompt. The environment holds no key. After the installation the steps run without any network
where the system can take it away (Linux, `unshare`); the result says whether it did.

    python -m benchmarks.first_ten_minutes [--keep]

`--keep` leaves the clone, for a look at it. Exit code 0: every step did what the documents say.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
TEN_MINUTES_S: Final = 600
_APP_PORT: Final = "8519"
_WAIT_S: Final = 300.0
_SECRET: Final = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|TOOLKIT_|PYTHONPATH|VIRTUAL_ENV")
_NO_NETWORK: Final = (
    *("unshare", "--map-root-user", "--net", "sh", "-c"),
    *('ip link set lo up && exec "$@"', "sh"),
)
# Run inside the clone's environment: every cell of a notebook in a kernel of its own.
_RUN_NOTEBOOK: Final = """
import json, sys
from jupyter_client.manager import start_new_kernel
cells = json.load(open(sys.argv[1], encoding="utf-8"))["cells"]
manager, client = start_new_kernel(startup_timeout=300)
try:
    for cell in cells:
        if cell["cell_type"] == "code":
            reply = client.execute_interactive(
                "".join(cell["source"]), timeout=300, output_hook=lambda message: None
            )
            content = reply["content"]
            if content["status"] != "ok":
                print("".join(cell["source"]), *content.get("traceback", ()), sep="\\n")
                sys.exit(f"{content['status']}: {content.get('ename')}: {content.get('evalue')}")
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the clone")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(use(options.inside)))
        return
    folder = Path(tempfile.mkdtemp(prefix="toolkit-stranger-"))
    try:
        result = measure(folder)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result, indent=2))
    sys.exit(0 if result["all_ok"] else 1)


def measure(folder: Path) -> dict[str, Any]:
    """Clone, install, and use; every step with its seconds."""
    clone, environment = folder / "toolkit", _environment(folder)
    steps: dict[str, Any] = {}
    timed(steps, "clone", ["git", "clone", "--quiet", str(ROOT), str(clone)], environment, folder)
    timed(steps, "install", ["make", ".venv/ready.stamp"], environment, clone)
    inside = [sys.executable, str(Path(__file__).resolve()), "--inside", str(clone)]
    is_cut_off = can_cut_off()
    done = subprocess.run(
        [*(_NO_NETWORK if is_cut_off else ()), *inside],
        cwd=clone, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    steps |= json.loads(done.stdout) if done.returncode == 0 else {"use": _failed(0.0, done.stderr)}
    total_s = sum(step["seconds"] for step in steps.values())
    all_ok = all(step["ok"] for step in steps.values())
    return {
        "benchmark": "first_ten_minutes",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "network_after_installation": "none" if is_cut_off else "not taken away",
        "steps": steps,
        "total_s": round(total_s, 1),
        "all_ok": all_ok,
        "within_ten_minutes": all_ok and total_s <= TEN_MINUTES_S,
    }


def use(clone: Path) -> dict[str, Any]:
    """The steps after the installation, as the documents give them."""
    environment = _environment(clone.parent)
    toolkit, python = str(clone / ".venv/bin/toolkit"), str(clone / ".venv/bin/python")
    steps: dict[str, Any] = {}

    def step(name: str, *command: str, expect: int = 0, says: str = "") -> None:
        timed(steps, name, command, environment, clone, expect=expect, says=says)

    step("first_call", toolkit, "chat", "Name a river.", "-m", "local/smollm2-135m")
    step("notebook_1", python, "-c", _RUN_NOTEBOOK, "notebooks/01-first-minute.ipynb")
    steps["app"] = _serve_app(toolkit, environment, clone)
    step("eval_init", toolkit, "eval", "init", "my-eval", "-m", "local/smollm2-135m")
    step("eval_run", toolkit, "eval", "run", "my-eval/eval.toml", "--yes")
    step("regression", toolkit, "regress", "local", says="8 pass")
    cases = clone / "cassettes/local/cases.yaml"
    cases.write_text(cases.read_text("utf-8").replace("Say hello", "Say goodbye"), "utf-8")
    step("regression_of_a_changed_prompt", toolkit, "regress", "local", expect=1,
         says="Say goodbye")  # fmt: skip
    step("stop", toolkit, "local", "stop")
    return steps


def timed(
    steps: dict[str, Any],
    name: str,
    command: list[str] | tuple[str, ...],
    environment: Mapping[str, str],
    folder: Path,
    *,
    expect: int = 0,
    says: str = "",
) -> None:
    """Run one command and note its seconds, and whether it ended and said as expected."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    text = " ".join(done.stdout.split())
    if done.returncode == expect and says in text:
        steps[name] = {"seconds": round(seconds, 1), "ok": True}
    else:
        steps[name] = _failed(seconds, f"{done.stdout[-2_000:]}\n{done.stderr[-600:]}")


def can_cut_off() -> bool:
    """Whether a process without a network can be started here."""
    if not shutil.which("unshare") or not shutil.which("ip"):
        return False
    return subprocess.run([*_NO_NETWORK, "true"], capture_output=True, check=False).returncode == 0


def _serve_app(toolkit: str, environment: Mapping[str, str], clone: Path) -> dict[str, Any]:
    began = time.perf_counter()
    with subprocess.Popen(
        [toolkit, "app", "--port", _APP_PORT], cwd=clone, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as app:  # fmt: skip
        is_served = _wait_for(lambda: _answers(f"http://127.0.0.1:{_APP_PORT}/"), app)
        seconds = time.perf_counter() - began
        app.terminate()
        stderr = app.communicate()[1]
    return {"seconds": round(seconds, 1), "ok": True} if is_served else _failed(seconds, stderr)


def _wait_for(check: Callable[[], bool], app: subprocess.Popen[str]) -> bool:
    end = time.monotonic() + _WAIT_S
    while time.monotonic() < end and app.poll() is None:
        if check():
            return True
        time.sleep(0.2)
    return False


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _failed(seconds: float, text: str) -> dict[str, Any]:
    return {"seconds": round(seconds, 1), "ok": False, "error": text.strip()[-2_600:]}


def _environment(folder: Path) -> dict[str, str]:
    """The variables of a user without keys, with a home folder of its own."""
    kept = {name: value for name, value in os.environ.items() if not _SECRET.search(name.upper())}
    return {**kept, "TOOLKIT_HOME": str(folder / "home"), "NO_COLOR": "1"}


if __name__ == "__main__":
    main()
