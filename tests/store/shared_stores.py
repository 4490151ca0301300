"""Databases that several homes share, started for a test, and programs that write to them."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import pytest

from tests.preloaded import Program, start_program
from tests.store.rows import call_row, model_row
from toolkit.errors import ToolkitError
from toolkit.settings import Settings
from toolkit.store import queries
from toolkit.store.queries import CallFilter, Query
from toolkit.store.store import Store

# Generous: only a test that fails waits so long.
PATIENCE_S = 60.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


SERVE = """
import os, sys
os.dup2(1, 2)
from toolkit.cli import main
sys.exit(main(["store", "serve", "--port", sys.argv[1]]))
"""


class QuackService:
    """`toolkit store serve` in a process of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"quack:127.0.0.1:{self.port}"
        self.log: list[str] = []
        self._process: Program | None = None

    def start(self) -> None:
        environment = {**os.environ, "TOOLKIT_HOME": str(self.home), "TOOLKIT_STORE": ""}
        process = start_program(SERVE, str(self.port), env=environment)
        self._process = process
        output: IO[str] | None = process.stdout
        assert output is not None
        for line in output:
            self.log.append(line)
            if "token" in line:
                return
        raise AssertionError("".join(self.log))

    @property
    def token(self) -> str:
        return (self.home / "store_token").read_text().strip()

    def settings(self, home: Path, **changes: object) -> Settings:
        """The settings of a client's home."""
        values = {"home": home, "store": self.url, "store_token": self.token, **changes}
        return Settings.model_validate(values)

    def environment(self, home: Path) -> dict[str, str]:
        return {
            "TOOLKIT_HOME": str(home),
            "TOOLKIT_STORE": self.url,
            "TOOLKIT_STORE_TOKEN": self.token,
        }

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(PATIENCE_S)
            assert process.stdout is not None
            self.log += process.stdout.readlines()
            process.stdout.close()


def find_postgres() -> Path | None:
    """The folder of PostgreSQL's programs, or None."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    folders += [Path(found).resolve().parent] if found else []
    found_in = next((folder for folder in folders if (folder / "initdb").exists()), None)
    if found_in is None and os.environ.get("TOOLKIT_REQUIRE_POSTGRES") == "1":
        pytest.fail("TOOLKIT_REQUIRE_POSTGRES=1, and PostgreSQL's initdb is not installed")
    return found_in


class LakeService:
    """A PostgreSQL of its own, as the catalog of a DuckLake, and a folder for its files."""

    def __init__(self, files: Path) -> None:
        programs = find_postgres()
        assert programs is not None
        self._programs = programs
        self.files = files
        self.port = free_port()
        self.url = f"ducklake:postgres:host=127.0.0.1 port={self.port} user=toolkit dbname=lake"
        # PostgreSQL refuses to run as root, and its own user may not enter the test's folder.
        self._user = "postgres" if os.getuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="toolkit-postgres-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        if self._user:
            shutil.chown(self._folder, self._user)
        self._run("initdb", "-D", "data", "-U", "toolkit", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.start()
        self._run("createdb", *self._address(), "lake")

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(str(self._programs / "postgres"), "-D", "data", "-p", str(self.port)),
                *("-h", "127.0.0.1", "-k", str(self._folder), "-c", "lc_messages=C"),
            ],
            cwd=self._folder,
            user=self._user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        probe = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        wait_until(lambda: subprocess.run(probe).returncode == 0, "PostgreSQL did not start")

    def new_database(self, name: str) -> str:
        """Make another database; returns the store URL of a lake in it."""
        self._run("createdb", *self._address(), name)
        return self.url.replace("dbname=lake", f"dbname={name}")

    def settings(self, home: Path, **changes: object) -> Settings:
        """The settings of a home that records into the lake."""
        values = {"home": home, "store": self.url, "store_files": str(self.files), **changes}
        return Settings.model_validate(values)

    def environment(self, home: Path) -> dict[str, str]:
        return {
            "TOOLKIT_HOME": str(home),
            "TOOLKIT_STORE": self.url,
            "TOOLKIT_STORE_FILES": str(self.files),
        }

    def kill(self) -> None:
        """End all of PostgreSQL at once, as a crash would."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        self._end(signal.SIGINT)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(PATIENCE_S)

    def _address(self) -> list[str]:
        return ["-h", "127.0.0.1", "-p", str(self.port), "-U", "toolkit"]

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), *arguments],
            cwd=self._folder,
            user=self._user,
            check=True,
            stdout=subprocess.DEVNULL,
        )


def wait_until(condition: object, message: str) -> None:
    """Wait until a condition holds."""
    assert callable(condition)
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.05)


def sample_queries() -> list[tuple[str, Query]]:
    """Every named query whose arguments are times, numbers, texts or a filter of calls."""
    values = {
        "datetime": datetime(2026, 11, 1, tzinfo=UTC),
        "str": "m1",
        "int": 10,
        "float": 0.5,
        "CallFilter": CallFilter(),
    }
    found: list[tuple[str, Query]] = []
    for info in pkgutil.iter_modules(queries.__path__, f"{queries.__name__}."):
        module = importlib.import_module(info.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ != info.name or name.startswith("_"):
                continue
            signature = inspect.signature(function)
            needed = [p for p in signature.parameters.values() if p.default is p.empty]
            is_plain = all(p.annotation in values and p.kind is not p.KEYWORD_ONLY for p in needed)
            if signature.return_annotation == "Query" and is_plain:
                with suppress(KeyError, ToolkitError):  # a text that must be one of a few
                    query = function(*(values[p.annotation] for p in needed))
                    found.append((f"{info.name.rpartition('.')[2]}.{name}", query))
    return found


def sample_rows() -> list[tuple[str, list[dict[str, Any]]]]:
    """Rows of several tables, for `sample_queries`."""
    calls = [
        call_row(
            attempt=1,
            origin=("api", "eval")[n % 2],
            status=("ok", "error")[n % 5 == 0],
            started_at=datetime(2026, 11, 2, n % 24, 5, n % 60, tzinfo=UTC),
            source="live",
            ttft_ms=50.0 + n,
            duration_ms=100.0 + 3 * n,
            tpot_ms=5.0 + n / 7,
            input_tokens=n,
            output_tokens=2 * n,
            cost_usd=Decimal(n) / 1000,
            messages=[{"role": "user", "content": f"m1 says {n}"}],
            output_text=f"m1 {n}",
            tags={"team": "a"},
            seq=n,
        )
        for n in range(60)
    ]
    models = [model_row(model_id=f"m{n}", model=f"acme/m{n}", is_enabled=True) for n in range(4)]
    return [("calls", calls), ("models", models)]


def _plain(row: dict[str, Any]) -> str:
    """A row as text; sums of floats may differ in their last digits with the order of rows."""
    return repr({k: f"{v:.9g}" if isinstance(v, float) else v for k, v in row.items()})


def require_same_answers(one: Store, other: Store) -> int:
    """Compare the answers of two stores to every sample query; returns how many there were."""
    compared = 0
    for name, query in sample_queries():
        expected, found = query.rows(one), query.rows(other)
        assert sorted(map(_plain, found)) == sorted(map(_plain, expected)), name
        compared += 1
    return compared
