"""Python programs in processes of their own, which begin with the toolkit already imported.

Importing the toolkit takes half a second of a core, and the tests of the store start hundreds of
programs. One process, started when it is first needed, imports it once and forks each program: it
is a real process with its own pipes, environment and folder, and it is killed for real. Where there
is no fork, each program is a new interpreter.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Protocol

ROOT = Path(__file__).resolve().parents[1]
_NUMBER = struct.Struct("!i")
# Generous: only a test that fails waits so long.
_START_S = 120.0


class Program(Protocol):
    """What tests use of `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...
    @property
    def stdin(self) -> IO[str] | None: ...
    @property
    def stdout(self) -> IO[str] | None: ...
    @property
    def stderr(self) -> IO[str] | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...
    def send_signal(self, sig: int, /) -> None: ...
    def communicate(
        self, input: str | None = None, timeout: float | None = None
    ) -> tuple[str, str]: ...


def start_program(code: str, *arguments: str, env: dict[str, str] | None = None) -> Program:
    """Start Python code in a process of its own, in the folder of the project.

    Args:
        code: the program.
        arguments: `sys.argv[1:]` of it.
        env: its whole environment; None: that of this process.
    """
    environment = dict(os.environ) if env is None else env
    # A library that is loaded before all others needs a new interpreter.
    if hasattr(os, "fork") and "LD_PRELOAD" not in environment:
        return _ForkedProgram.start(code, arguments, environment)
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass
class _ForkedProgram:
    """A process that was forked from the one that has imported the toolkit.

    Attributes:
        connection: to that process, which sends the exit code on it.
        returncode: as of `subprocess.Popen`; None while the process runs.
    """

    pid: int
    stdin: IO[str]
    stdout: IO[str]
    stderr: IO[str]
    connection: socket.socket
    returncode: int | None = field(default=None)

    @classmethod
    def start(cls, code: str, arguments: tuple[str, ...], env: dict[str, str]) -> _ForkedProgram:
        ends = [os.pipe() for _ in range(3)]
        theirs = [ends[0][0], ends[1][1], ends[2][1]]
        request = {"code": code, "arguments": arguments, "env": env, "folder": str(ROOT)}
        sent = json.dumps(request).encode()
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(_forking_process().address)
        socket.send_fds(connection, [_NUMBER.pack(len(sent))], theirs)
        connection.sendall(sent)
        for number in theirs:
            os.close(number)
        return cls(
            _NUMBER.unpack(_read(connection, _NUMBER.size))[0],
            open(ends[0][1], "w", encoding="utf-8"),
            open(ends[1][0], encoding="utf-8"),
            open(ends[2][0], encoding="utf-8"),
            connection,
        )

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self.connection.settimeout(timeout)
            try:
                code = _read(self.connection, _NUMBER.size)
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None
            self.returncode = _NUMBER.unpack(code)[0]
            self.connection.close()
        return self.returncode

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, sig: int, /) -> None:
        # Until its exit code was read, the process keeps its number.
        if self.poll() is None:
            os.kill(self.pid, sig)

    def communicate(
        self, input: str | None = None, timeout: float | None = None
    ) -> tuple[str, str]:
        found = ["", ""]

        def read(at: int, stream: IO[str]) -> None:
            with stream:
                found[at] = stream.read()

        readers = [
            threading.Thread(target=read, args=(at, stream), daemon=True)
            for at, stream in enumerate((self.stdout, self.stderr))
        ]
        for reader in readers:
            reader.start()
        with suppress(BrokenPipeError), self.stdin:
            self.stdin.write(input or "")
        self.wait(timeout)
        for reader in readers:
            reader.join()
        return found[0], found[1]


@dataclass(frozen=True)
class _ForkingProcess:
    """The process that forks programs, as its parent knows it; it ends when its input ends."""

    address: str
    process: subprocess.Popen[str]


@cache
def _forking_process() -> _ForkingProcess:
    folder = tempfile.mkdtemp(prefix="toolkit-programs-", dir="/tmp")  # a short path for a socket
    address = f"{folder}/socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.preloaded", address],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return _ForkingProcess(address, process)


def _read(connection: socket.socket, size: int) -> bytes:
    """Exactly so many bytes."""
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError("the other process has ended")
        data += more
    return data


# ---- the process that forks ----------------------------------------------------------------------


class _Forker:
    """Forks a program for each connection, and sends its exit code on it."""

    def __init__(self, address: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen(64)
        self._running: dict[int, socket.socket] = {}
        self._reported: set[int] = set()
        # A byte arrives whenever a child has ended.
        self._ended, self._notify = socket.socketpair()
        self._ended.setblocking(False)
        self._notify.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._notify.fileno())

    def run(self) -> dict[str, Any] | None:
        """Fork programs; returns in each of them what it is to run, and None in the parent."""
        while True:
            watched = [self._listener, self._ended, sys.stdin, *self._running.values()]
            ready = select.select(watched, [], [])[0]
            if sys.stdin in ready:
                return None
            if self._ended in ready:
                with suppress(BlockingIOError):
                    self._ended.recv(1024)
                self._report()
            for pid, connection in list(self._running.items()):
                if connection in ready:  # closed: the exit code was read, or nobody waits for it
                    self._forget(pid)
            if self._listener in ready:
                request = self._fork(self._listener.accept()[0])
                if request is not None:
                    return request

    def _fork(self, connection: socket.socket) -> dict[str, Any] | None:
        size, numbers, _, _ = socket.recv_fds(connection, _NUMBER.size, 3)
        request: dict[str, Any] = json.loads(_read(connection, _NUMBER.unpack(size)[0]))
        pid = os.fork()
        if pid == 0:
            for at, number in enumerate(numbers):
                os.dup2(number, at)
                os.close(number)
            self._close_all(connection)
            return request
        for number in numbers:
            os.close(number)
        self._running[pid] = connection
        connection.sendall(_NUMBER.pack(pid))
        return None

    def _close_all(self, own: socket.socket) -> None:
        """Drop in a child what belongs to the parent."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        inherited = (self._listener, self._ended, self._notify, own, *self._running.values())
        for connection in inherited:
            connection.close()
        self._running.clear()

    def _report(self) -> None:
        """Send the exit codes of children that ended; their numbers stay taken until read."""
        for pid in self._running.keys() - self._reported:
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is not None:
                self._reported.add(pid)
                is_exit = found.si_code == os.CLD_EXITED
                with suppress(OSError):
                    self._running[pid].sendall(
                        _NUMBER.pack(found.si_status if is_exit else -found.si_status)
                    )

    def _forget(self, pid: int) -> None:
        self._running.pop(pid).close()
        self._reported.discard(pid)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _import_all() -> None:
    """Import what programs of the store use, except DuckDB, which starts a thread of its own."""
    import sqlite3  # noqa: F401

    import tests.store.rows  # noqa: F401
    import toolkit.store.store  # noqa: F401


def _run(request: dict[str, Any]) -> None:
    """Run a program as `python -c` would."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = ["-c", *request["arguments"]]
    sys.modules["__main__"] = module = ModuleType("__main__")
    exec(compile(request["code"], "<program>", "exec"), module.__dict__)


if __name__ == "__main__":
    _import_all()
    forker = _Forker(sys.argv[1])
    print("ready", flush=True)
    asked = forker.run()
    if asked is None:
        shutil.rmtree(Path(sys.argv[1]).parent, ignore_errors=True)
    else:
        _run(asked)
