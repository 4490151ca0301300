"""What `import toolkit` costs beside `import httpx`, and how soon `toolkit --help` answers.

Fresh processes, interleaved, with an A/A control; module files are compiled before.

    python -m benchmarks.import_time [--rounds 15]
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks.rounds import ROOT, ratio, report

HEAVY = ("litellm", "pandas", "duckdb", "plotly", "streamlit", "pyarrow", "vcr", "openai")
PEAK = """
import json, resource, sys
{statement}
print(json.dumps([sorted(set(sys.modules) & {heavy}),
                  resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024]))
"""


def seconds(*command: str) -> float:
    """Wall time of one fresh process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=ROOT)
    return time.perf_counter() - began


def loaded(statement: str) -> dict[str, Any]:
    """Heavy modules that a statement loads, and the peak memory of its process."""
    code = PEAK.format(statement=statement, heavy=set(HEAVY))
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    modules, peak_mb = json.loads(out.stdout)
    return {"heavy_modules": modules, "peak_mb": peak_mb}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    compileall.compile_dir(str(ROOT / "toolkit"), quiet=2)
    commands = {
        "bare_python": [sys.executable, "-c", "pass"],
        "import_httpx": [sys.executable, "-c", "import httpx"],
        "import_httpx_again": [sys.executable, "-c", "import httpx"],
        "import_toolkit": [sys.executable, "-c", "import toolkit"],
        "toolkit_help": [sys.executable, "-c", "from toolkit.cli import main; main()", "--help"],
    }
    for command in commands.values():
        seconds(*command)
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(options.rounds):
        names = list(commands) if number % 2 else list(reversed(commands))
        for name in names:
            times[name].append(seconds(*commands[name]))
    results = {
        "targets": {"import ratio": "<= 1.5", "toolkit --help": "<= 0.4 s"},
        "median_s": {name: round(statistics.median(t), 4) for name, t in times.items()},
        "import_ratio": ratio(times["import_toolkit"], times["import_httpx"]),
        "control_ratio": ratio(times["import_httpx_again"], times["import_httpx"]),
        "import toolkit": loaded("import toolkit"),
        "import toolkit.cli": loaded("import toolkit.cli"),
    }
    report("import_time", results)


if __name__ == "__main__":
    main()
