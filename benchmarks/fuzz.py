"""Coverage-guided fuzzing of what reads foreign bytes: streams, cassettes, listings, imports.

    python -m benchmarks.fuzz [--seconds 600] [--only TEXT] [--output FILE]

Needs `atheris` (`pip install atheris`, Linux and macOS), which is not among the dependencies. Each
reader runs in a process of its own for so many seconds. A reader may refuse its input with an
error that it documents; anything else is a crash, and the input is kept in `tests/fuzz_inputs/`,
where `tests/test_fuzz_inputs.py` gives it to the reader again in every run of the tests.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from benchmarks.rounds import ROOT

KEPT: Final = ROOT / "tests" / "fuzz_inputs"
_TOO_SLOW_S: Final = 20
_LONGEST_INPUT: Final = 20_000

Reader = Callable[[bytes], object]


def _read_sse(data: bytes) -> object:
    from toolkit.calls.parsers.sse import EventSplitter, LineTooLong

    splitter = EventSplitter(max_bytes=4096)
    try:
        half = len(data) // 2
        return [*splitter.feed(data[:half]), *splitter.feed(data[half:]), *splitter.finish()]
    except LineTooLong:
        return None


def _read_frames(data: bytes) -> object:
    from toolkit.calls.parsers.event_stream import BadFrame, FrameSplitter
    from toolkit.calls.parsers.sse import LineTooLong

    splitter = FrameSplitter(max_bytes=4096)
    try:
        half = len(data) // 2
        return [*splitter.feed(data[:half]), *splitter.feed(data[half:]), *splitter.finish()]
    except (BadFrame, LineTooLong):
        return None


def _read_cassette(data: bytes) -> object:
    from toolkit.errors import ToolkitError
    from toolkit.replay.cassettes.cassette_file import read_cassette

    try:
        return read_cassette(_file("cassette.yaml", data))
    except ToolkitError:
        return None


def _read_listing(data: bytes) -> object:
    from toolkit.calls.parsers.json_text import BadJson, decode_json
    from toolkit.catalog.dialects import read_item
    from toolkit.catalog.listings.fetch import find_items, next_cursor

    try:
        payload = decode_json(data)
    except BadJson:
        return None
    next_cursor(payload)
    return [read_item(item) for item in find_items(payload) or []]


def _read_import(data: bytes) -> object:
    from toolkit.errors import ToolkitError
    from toolkit.imports.call_import import FORMATS
    from toolkit.imports.foreign_file import ForeignFile

    kind = (".json", ".jsonl", ".csv", ".db")[data[0] % 4] if data else ".json"
    try:
        file = ForeignFile(_file(f"import{kind}", data[1:]))
        found = next((read(file) for recognizes, read in FORMATS if recognizes(file)), None)
        calls = [] if found is None else found.calls
        return [call.as_row("fuzz", seq, has_content=True) for seq, call in enumerate(calls)]
    except ToolkitError:
        return None


READERS: Final[Mapping[str, Reader]] = {
    "sse": _read_sse,
    "event-stream": _read_frames,
    "cassette": _read_cassette,
    "listing": _read_listing,
    "import": _read_import,
}


def _file(name: str, data: bytes) -> Path:
    path = Path(tempfile.gettempdir()) / f"fuzz-{os.getpid()}-{name}"
    path.write_bytes(data)
    return path


def _seeds(name: str, folder: Path) -> None:
    """Write inputs to begin with."""
    listing = {"object": "list", "data": [{"id": "m", "object": "model", "context_length": 8}]}
    seeds: dict[str, list[bytes]] = {
        "sse": [b'event: x\ndata: {"a": 1}\n\ndata: [DONE]\n\n'],
        "event-stream": [bytes(16)],
        "cassette": [path.read_bytes() for path in sorted(ROOT.glob("cassettes/*/*.yaml"))[:3]],
        "listing": [json.dumps(listing).encode(), b'{"models": [{"name": "models/m"}]}'],
        "import": [b'\x00[{"startTime": "2026-01-01", "model": "m"}]', b"\x02id,model\n1,m\n"],
    }
    for number, seed in enumerate(seeds[name]):
        (folder / f"seed{number}").write_bytes(seed)


def run_reader(name: str, seconds: int, crashes: Path) -> None:
    """Fuzz one reader in this process, which ends with it."""
    atheris: Any = import_module("atheris")

    with atheris.instrument_imports(include=["toolkit"]):
        READERS[name](b"")
    with tempfile.TemporaryDirectory() as folder:
        _seeds(name, Path(folder))
        limits = [f"-max_total_time={seconds}", f"-timeout={_TOO_SLOW_S}", "-rss_limit_mb=2048"]
        limits += [f"-artifact_prefix={crashes}/{name}-", f"-max_len={_LONGEST_INPUT}"]
        atheris.Setup([sys.argv[0], *limits, folder], READERS[name])
        atheris.Fuzz()


def fuzz(name: str, seconds: int) -> dict[str, Any]:
    """Fuzz one reader in a process of its own."""
    KEPT.mkdir(exist_ok=True)
    before = set(KEPT.iterdir())
    command = [sys.executable, "-m", "benchmarks.fuzz", "--child", name, "--seconds", str(seconds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    runs = re.findall(r"^#(\d+)|Done (\d+) runs", done.stderr, re.M)
    new = sorted(path.name for path in set(KEPT.iterdir()) - before)
    failed = re.search(r"No module named 'atheris'", done.stderr)
    if failed:
        sys.exit("atheris is not installed: pip install atheris")
    row = {
        "reader": name,
        "seconds": seconds,
        "runs": max(int(a or b) for a, b in runs or [("0", "")]),
    }
    return {**row, "crashes": len(new) or int(done.returncode != 0), "inputs": new}


def main() -> None:
    """Fuzz the readers and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="For each reader.")
    parser.add_argument("--only", default="", help="Readers whose name holds this text.")
    parser.add_argument("--output", type=Path, help="Write the result to this file, too.")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_reader(options.child, options.seconds, KEPT)
        return
    rows = []
    for name in READERS:
        if options.only in name:
            rows.append(fuzz(name, options.seconds))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    summary = {"targets": rows}
    print(json.dumps(summary))
    if options.output is not None:
        options.output.write_text(json.dumps(summary, indent=1) + "\n", "utf-8")
    sys.exit(any(row["crashes"] for row in rows))


if __name__ == "__main__":
    main()
