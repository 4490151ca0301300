"""Files that one warm `tk.complete` touches, and how often the call changes from file to file.

Counted with `sys.setprofile` on the caller's thread and on that of the background event loop; only
files of `toolkit`. Ingest runs in a thread of its own, at any time, and is no part of the call.

    python -m benchmarks.call_walk
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.servers.mock_provider import MockProvider

PACKAGE = str(Path(__file__).resolve().parents[1] / "toolkit")


class Walk:
    """The functions of `toolkit` that were called, in order, by thread."""

    def __init__(self) -> None:
        self.calls: dict[int, list[tuple[str, str]]] = {}

    def see(self, frame: FrameType, event: str, argument: object) -> None:
        """Note one call."""
        if event != "call" or not frame.f_code.co_filename.startswith(PACKAGE):
            return
        calls = self.calls.setdefault(threading.get_ident(), [])
        calls.append((frame.f_code.co_filename, frame.f_code.co_name))

    def keep_call(self) -> None:
        """Drop what ran in other threads than the caller's and the event loop's."""
        self.calls = {
            thread: calls
            for thread, calls in self.calls.items()
            if any(file.endswith("sync_calls.py") for file, _ in calls)
        }

    def summary(self) -> dict[str, int]:
        """Calls, functions, files and changes of file."""
        files = {file for calls in self.calls.values() for file, _ in calls}
        changes = sum(
            first[0] != second[0]
            for calls in self.calls.values()
            for first, second in itertools.pairwise(calls)
        )
        return {
            "calls": sum(len(calls) for calls in self.calls.values()),
            "functions": len({call for calls in self.calls.values() for call in calls}),
            "files": len(files),
            "changes_of_file": changes,
        }


def main() -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home, MockProvider() as server:
        os.environ["TOOLKIT_HOME"] = home
        walk = Walk()
        import toolkit as tk

        threading.setprofile(walk.see)  # the background thread is made by the first call
        tk.providers.add("p", base_url=server.base_url, local=True, test=False)
        for _ in range(3):
            tk.complete("p/m", "hello")
        walk.calls.clear()
        sys.setprofile(walk.see)
        tk.complete("p/m", "hello")
        sys.setprofile(None)
        walk.keep_call()
        summary = walk.summary()
        files = sorted(
            {str(Path(f).relative_to(PACKAGE)) for calls in walk.calls.values() for f, _ in calls}
        )
        tk.providers.list()
    print(json.dumps({**summary, "names": files}, indent=1))


if __name__ == "__main__":
    main()
