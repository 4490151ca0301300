"""Install the built package in a fresh environment and run the demo, as a user would.

    python -m tests.package_check [--keep FOLDER]

Builds the wheel of this checkout, makes a virtual environment, installs what the lock names from
wheels only (nothing is compiled), then the wheel, and runs `toolkit demo` from an empty folder
with a home of its own. It takes minutes and needs the package index, so it is no part of the test
suite. Prints JSON; exits with 1 where a step fails.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path, home: Path | None = None) -> str:
    """The output of a command; ends the check where it fails."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    if home is not None:
        environment["TOOLKIT_HOME"] = str(home)
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        text=True,
        capture_output=True,
        timeout=1800,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command[:6]))} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def check(folder: Path) -> dict[str, object]:
    """Build, install, run the demo; what each step took, in seconds."""
    seconds: dict[str, float] = {}

    def step(name: str, *command: str | Path, home: Path | None = None) -> str:
        begun = time.perf_counter()
        out = run(*command, cwd=folder, home=home)
        seconds[name] = round(time.perf_counter() - begun, 1)
        return out

    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    step("build", *pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT)
    (wheel,) = folder.glob("llm_provider_toolkit-*.whl")
    venv.create(folder / "venv", with_pip=True)
    scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    fresh = (scripts / "python", "-m", "pip", "--disable-pip-version-check", "install")
    locked = ("--require-hashes", "--no-deps", "--only-binary", ":all:")
    step("install the lock", *fresh, *locked, "-r", ROOT / "requirements.lock")
    step("install the wheel", *fresh, "--no-deps", wheel)
    out = step("demo", scripts / "toolkit", "demo", home=folder / "home")
    where = run(scripts / "python", "-c", "import toolkit; print(toolkit.__file__)", cwd=folder)
    if not Path(where.strip()).is_relative_to(folder):
        sys.exit(f"the demo ran from {where.strip()}, not from the installed package")
    rows = json.loads(
        run(
            *(scripts / "toolkit", "store", "sql", "--json"),
            "SELECT count(*) AS answers FROM calls WHERE status = 'ok' AND model LIKE 'local/%'",
            cwd=folder,
            home=folder / "home",
        )
    )
    if not rows[0]["answers"]:
        sys.exit(f"the demo left no answer of the built-in model:\n{out}")
    return {"wheel_bytes": wheel.stat().st_size, "seconds": seconds, **rows[0]}


def main() -> None:
    """Run the check and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="Work in this folder and keep it.")
    keep = parser.parse_args().keep
    if keep is not None:
        keep.mkdir(parents=True)
        print(json.dumps(check(keep.resolve())))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(check(Path(folder).resolve())))


if __name__ == "__main__":
    main()
