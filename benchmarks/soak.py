"""Everything at once for an hour: app, gateway, monitor, a notebook's process and evaluations.

    python -m benchmarks.soak [--minutes 60] [--output FILE]

Each is a process of its own over one home folder, against a provider on this machine. Prints the
errors of each, how fast its memory grew (a line through its resident memory, the first fifth left
out) and how many acknowledged records are not in the store at the end. Linux only: memory is read
from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.rounds import ROOT, serving
from toolkit.settings import Settings
from toolkit.store.store import Store
from toolkit.toolkit import Toolkit
from toolkit.ui.server import app_script_path, streamlit_flags

_MODEL: Final = "soak/mock-model"
_SAMPLE_S: Final = 5.0
_PACE_S: Final = 0.2

NOTEBOOK: Final = """
import sys, time
import toolkit as tk
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    try:
        print("ok", tk.complete(sys.argv[2], "Hello").call_id, flush=True)
        with tk.stream(sys.argv[2], "Hello") as pieces:
            for _ in pieces:
                pass
        print("ok", pieces.reply.call_id, flush=True)
        tk.sql("SELECT provider, count(*) FROM calls GROUP BY 1")
    except Exception as error:
        print("error", type(error).__name__, str(error)[:200].replace(chr(10), " "), flush=True)
    time.sleep(float(sys.argv[3]))
"""

EVALS: Final = """
import sys, time
import toolkit as tk
data = tk.Dataset.from_rows([{"input": f"question {n}", "target": "a"} for n in range(20)])
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    try:
        run = tk.evaluate(data, sys.argv[2], scorers=["contains"])
        print("run", run.run_id, flush=True)
    except Exception as error:
        print("error", type(error).__name__, str(error)[:200].replace(chr(10), " "), flush=True)
    time.sleep(float(sys.argv[3]))
"""


@dataclass
class Program:
    """One process of the soak.

    Attributes:
        name: what it is.
        process: the process.
        output: what it printed.
        memory: seconds since its start, and MB of resident memory.
    """

    name: str
    process: subprocess.Popen[bytes]
    output: Path
    memory: list[tuple[float, float]] = field(default_factory=list)

    def sample(self, at_s: float) -> None:
        """Note its memory."""
        status = Path(f"/proc/{self.process.pid}/status")
        for line in status.read_text("utf-8").splitlines() if status.exists() else ():
            if line.startswith("VmRSS:"):
                self.memory.append((at_s, int(line.split()[1]) / 1024))

    def facts(self) -> dict[str, Any]:
        """Its memory: at the end, and how fast it grew."""
        late = self.memory[len(self.memory) // 5 :]
        slope = 0.0
        if len(late) > 2:
            slope = statistics.linear_regression(*zip(*late, strict=True)).slope * 60
        last = round(late[-1][1], 1) if late else None
        return {"process": self.name, "mb": last, "mb_per_minute": round(slope, 3)}

    def lines(self, word: str) -> list[str]:
        """What it printed after a word at the beginning of a line."""
        text = self.output.read_text("utf-8", "replace")
        return [line[len(word) + 1 :] for line in text.splitlines() if line.startswith(f"{word} ")]


class Soak:
    """The processes over one home folder.

    Args:
        folder: for the home folder and the outputs.
        base_url: of the provider.
        seconds: how long.
    """

    def __init__(self, folder: Path, base_url: str, seconds: float) -> None:
        self._folder = folder
        self._seconds = seconds
        self.settings: Settings = Settings(home=folder / "home")
        with Toolkit(settings=self.settings) as toolkit:
            toolkit.providers.add("soak", base_url=base_url, local=True, test=False)
        self.errors: list[str] = []
        self.acknowledged: set[str] = set()
        given = (str(seconds), _MODEL, str(_PACE_S))
        self._app_port, self._api_port = _free_port(), _free_port()
        app = ("-m", "streamlit", "run", str(app_script_path()), *streamlit_flags(self._app_port))
        self.programs: list[Program] = [
            self._start("app", *app),
            self._start("gateway", "-m", "toolkit", "serve", "--port", str(self._api_port)),
            self._start("monitor", "-m", "toolkit", "health", "watch"),
            self._start("notebook", "-c", NOTEBOOK, *given),
            self._start("evals", "-c", EVALS, *given),
        ]

    def _start(self, name: str, *arguments: str) -> Program:
        output = self._folder / f"{name}.log"
        environment = {**os.environ, "TOOLKIT_HOME": str(self.settings.home)}
        environment |= {"PYTHONPATH": str(ROOT), "TOOLKIT_HEALTH_INTERVAL_S": "15"}
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self._folder,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        return Program(name, process, output)

    def run(self) -> None:
        """Ask the gateway and open the app until the time is over."""
        token = self._token()
        began, sampled = time.monotonic(), 0.0
        # Not as long as the servers keep an idle connection (5 s): both would end it at once.
        limits = httpx.Limits(keepalive_expiry=2)
        with httpx.Client(timeout=60, trust_env=False, limits=limits) as client:
            while (at_s := time.monotonic() - began) < self._seconds:
                if at_s - sampled >= _SAMPLE_S:
                    sampled = at_s
                    for program in self.programs:
                        program.sample(at_s)
                    self._note(self._ask(client, f"http://127.0.0.1:{self._app_port}/", {}))
                self._chat(client, token)
                time.sleep(_PACE_S)

    def _chat(self, client: httpx.Client, token: str) -> None:
        url = f"http://127.0.0.1:{self._api_port}/v1/chat/completions"
        body = {"model": _MODEL, "messages": [{"role": "user", "content": "Hello"}]}
        headers = {"authorization": f"Bearer {token}"}
        for more in ({}, {"stream": True}):
            reply = self._ask(client, url, headers, json=body | more)
            if isinstance(reply, str):
                self._note(reply)
            elif call_id := reply.headers.get("x-toolkit-call-id"):
                self.acknowledged.add(call_id)

    def _ask(
        self, client: httpx.Client, url: str, headers: Mapping[str, str], **options: Any
    ) -> httpx.Response | str:
        method = "POST" if options else "GET"
        try:
            reply = client.request(method, url, headers=dict(headers), **options)
        except httpx.HTTPError as error:
            return f"{url}: {type(error).__name__}"
        if reply.status_code != 200 or b'"error"' in reply.content[:200]:
            return f"{url}: {reply.status_code} {reply.text[:200]}"
        return reply

    def _note(self, found: httpx.Response | str) -> None:
        if isinstance(found, str):
            self.errors.append(found)

    def _token(self) -> str:
        """The gateway's token, when app and gateway answer."""
        until = time.monotonic() + 180
        for port, path in ((self._api_port, "/health"), (self._app_port, "/_stcore/health")):
            while time.monotonic() < until:
                try:
                    httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False, timeout=5)
                    break
                except httpx.HTTPError:
                    time.sleep(0.5)
        from toolkit.api.bearer_tokens import BearerTokens

        return BearerTokens(self.settings.token_path).create("soak").reveal()

    def end(self) -> dict[str, Any]:
        """Stop everything and compare what was acknowledged with what is stored."""
        for program in self.programs:
            if program.name in ("notebook", "evals"):
                program.process.wait(300)
            elif program.process.poll() is not None:
                tail = program.output.read_text("utf-8", "replace")[-300:]
                self.errors.append(f"{program.name} ended by itself: {tail}")
            self.errors += [f"{program.name}: {line}" for line in program.lines("error")]
            self.acknowledged.update(program.lines("ok"))
        _stop([program.process for program in self.programs])
        store = Store(self.settings)
        store.ingest()
        kept = {row["call_id"] for row in store.rows("SELECT call_id FROM calls")}
        (count,) = store.rows("SELECT count(*) AS n FROM calls")
        checks = [check.name for check in store.verify() if not check.is_ok]
        store.close()
        return {
            "calls": count["n"],
            "acknowledged": len(self.acknowledged),
            "rows_lost": len(self.acknowledged - kept),
            "doubled": count["n"] - len(kept),
            "failed_checks": checks,
            "errors": len(self.errors),
            "first_errors": self.errors[:5],
            "processes": [program.facts() for program in self.programs],
        }


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    """Soak, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--output", type=Path, help="Write the result to this file, too.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(text="a fine answer") as server:
        soak = Soak(Path(folder), server.base_url, options.minutes * 60)
        try:
            soak.run()
            found = {"minutes": options.minutes, **soak.end()}
        finally:
            _stop([program.process for program in soak.programs])
    print(json.dumps(found, indent=1))
    if options.output is not None:
        options.output.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    sys.exit(bool(found["errors"] or found["rows_lost"]))


if __name__ == "__main__":
    main()
