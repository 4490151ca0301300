"""`with tk.cassette("suite/case"):` records HTTP traffic once and replays it forever.

While one is open, every HTTP call of the process goes through it: the toolkit's own, those of
the official clients, those of any library on httpx, aiohttp, requests, urllib3 or http.client,
from any thread, and those of processes that it forks or starts through `multiprocessing`.
In replay nothing leaves the process: a request that is not in the cassette is an error, and no
socket connects.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self

from toolkit.calls.attempt_spec import marked_source
from toolkit.errors import CallError, CassetteError, CassetteMissing, InvalidInput
from toolkit.replay.cassettes.cassette_path import FOLDER, cassette_path
from toolkit.replay.patches.child_processes import build_process_patches, followed_through_forks
from toolkit.replay.cassettes.exchange import Exchange, decompress_request
from toolkit.replay.patches.http_client_patch import build_http_client_patches
from toolkit.replay.cassettes.leaks import find_cassette_leaks
from toolkit.replay.cassettes.recording_lock import recording_lock
from toolkit.replay.patches.network_guard import (
    Watch,
    build_guard_patches,
    build_watch_patches,
    guarded,
)
from toolkit.replay.patches.patch import Mode, Patch, installed
from toolkit.replay.cassettes.request_index import RequestIndex
from toolkit.replay.cassettes.scrub import Scrubber
from toolkit.replay.patches.child_processes import SharedFolder
from toolkit.replay.cassettes.recording import ExchangeRecorder
from toolkit.replay.cassettes.cassette_file import CassetteFile, read_cassette, write_cassette
from toolkit.secret import Secret

_OPEN = threading.Lock()  # patches are process-wide, so there is one open cassette at a time
_HINT: Final = "If the request was meant to change, record the cassette again."
_RECORD_HINT: Final = (
    'Record it: `tk.cassette(name, mode="record")`, or `toolkit cassette record` for a suite.'
)
# Without it the first import of litellm fetches a price list from the network.
_LITELLM_OFFLINE: Final = "LITELLM_LOCAL_MODEL_COST_MAP"


def cassette(
    name: str,
    *,
    mode: Mode = "auto",
    folder: Path | str = FOLDER,
    secrets: Iterable[Secret] | None = None,
    allow_hosts: Iterable[str] = (),
) -> OpenCassette:
    """Record the HTTP calls of a `with` block, or replay them if they are recorded.

    Args:
        name: `suite/case`; the file is `cassettes/suite/case.yaml`.
        mode: `auto` records if there is no file and replays otherwise, `replay` only replays,
            `record` records again and replaces the file.
        folder: the folder of cassettes.
        secrets: keys that must not be written; None: every key that the toolkit knows.
        allow_hosts: hosts (`name` or `name:port`) that may be connected to in replay by other
            means than HTTP, such as a database of the test.

    Returns:
        The cassette, to be used in a `with` block.

    Raises (on entering or on a call within the block):
        CassetteMissing: in replay there is no such cassette, or it has no matching request.
        CassetteStale: it is empty, incomplete or edited.
        InvalidInput: the name is not valid, or another cassette is open.
        CassetteError: the recording cannot be written, because it still contains a secret.
    """
    if mode not in ("auto", "replay", "record"):
        raise InvalidInput(f"{mode!r} is not a valid mode", hint="Use `auto`, `replay` or `record`.")
    path = cassette_path(name, folder)
    return OpenCassette(path, name=name, mode=mode, secrets=secrets, allow_hosts=allow_hosts)


class OpenCassette:
    """An open cassette.

    Attributes:
        name, path: its name and file.
        mode: `record` or `replay`; before it is entered it may be `auto`.
        metadata: values written with the traffic; can be extended while recording.
        misses: descriptions of requests that the cassette did not contain.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        mode: Mode,
        secrets: Iterable[Secret] | None,
        allow_hosts: Iterable[str] = (),
        record_hint: str = _RECORD_HINT,
    ) -> None:
        self.name = name
        self.path = path
        self.mode: Mode = mode
        self.metadata: dict[str, Any] = {}
        self.misses: list[str] = []
        self.allowed_hosts: frozenset[str] = frozenset(allow_hosts)
        self.is_open: bool = False
        self._record_hint = record_hint
        self._secrets = None if secrets is None else tuple(secrets)
        self._scrubber = Scrubber()
        self._index = RequestIndex(())
        self._recorders: list[ExchangeRecorder] = []
        self._opened_ns = 0
        self._watch = Watch(self)
        self._stack = ExitStack()
        self._is_discarded = False
        self._is_child = False
        self._shared: SharedFolder | None = None
        self._lock = threading.Lock()

    # ---- opening and closing ----------------------------------------------------------------

    def __enter__(self) -> Self:
        if not _OPEN.acquire(blocking=False):
            raise InvalidInput(
                f"cannot open the cassette {self.name}: another one is open in this process",
                hint="Close it first; a cassette covers the whole process.",
            )
        with ExitStack() as stack:
            stack.callback(_OPEN.release)
            self._prepare(stack)
            self._install(stack)
            self._stack = stack.pop_all()
        return self

    def _prepare(self, stack: ExitStack) -> None:
        if self.mode == "auto":
            self.mode = "replay" if self.path.exists() else "record"
        if self._secrets is None:
            self._secrets = known_secrets()
        self._scrubber = Scrubber(self._secrets)
        if self.mode == "record":
            stack.enter_context(recording_lock(self.path))
        else:
            self._read()
        self._opened_ns = time.monotonic_ns()

    def _read(self) -> None:
        content = read_cassette(self.path, record_hint=self._record_hint)
        self.metadata = dict(content.metadata)
        self._index = RequestIndex(content.exchanges)

    def _install(self, stack: ExitStack) -> None:
        stack.enter_context(_variable(_LITELLM_OFFLINE, "True"))
        stack.enter_context(installed(self._patches()))
        stack.enter_context(guarded(self) if self.mode == "replay" else self._watch)
        stack.enter_context(followed_through_forks(self))
        stack.enter_context(marked_source("replay" if self.mode == "replay" else "record"))
        self.is_open = True
        stack.callback(self._close)

    def _patches(self) -> Iterator[Patch]:
        from toolkit.replay.patches.aiohttp_patch import build_aiohttp_patch
        from toolkit.replay.patches.httpx_patch import build_httpx_patches

        yield from build_httpx_patches(self)
        yield build_aiohttp_patch(self)
        yield from build_http_client_patches(self)
        yield from build_process_patches(self)
        is_replay = self.mode == "replay"
        yield from build_guard_patches(self) if is_replay else build_watch_patches(self._watch)

    def _close(self) -> None:
        self.is_open = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            # A provider's failure is a valid recording; any other error leaves an incomplete one.
            is_whole = error is None or isinstance(error, CallError)
            if self._shared is not None:
                self._stack.callback(self._shared.remove)
            if self.mode == "record" and is_whole and not self._is_discarded:
                self._write(self._recorded())
                self._watch.warn(self.name)
        if self.misses and error is None:
            raise self._missing(self.misses[0])

    def _recorded(self) -> list[Exchange]:
        exchanges = [recorder.finish(self._scrubber) for recorder in self._recorders if recorder.is_answered]
        if self._shared is not None:
            exchanges += self._shared.collect()
            exchanges.sort(key=lambda exchange: exchange.started_ms)
        return exchanges

    def _write(self, exchanges: Sequence[Exchange]) -> None:
        if not exchanges:
            raise CassetteError(
                f"nothing was recorded into {self.name}: no answer came over HTTP",
                hint=f"Instead, {missing}"
                if (missing := self._watch.describe())
                else "Mocked or cached answers produce no traffic, and a refused connection has "
                "no answer.",
            )
        content = CassetteFile(tuple(exchanges), {**_origin_facts(), "name": self.name, **self.metadata})
        if leaks := find_cassette_leaks(content, self._scrubber):
            raise CassetteError(
                f"the cassette {self.name} was not written: it still contains {', '.join(leaks)}",
                hint="A key may be part of the prompt or of the answer; remove it and try again.",
            )
        write_cassette(self.path, content)

    # ---- child processes --------------------------------------------------------------------

    def share_with_children(self) -> None:
        """Create the folder shared with child processes, before the first one starts."""
        with self._lock:
            if self._shared is None:
                self._shared = SharedFolder()
                self._index.share(self._shared)

    def for_child(self) -> tuple[Callable[..., bool], tuple[Any, ...]]:
        """The function and arguments that open the cassette in a new process.

        Keys in the arguments are sent only through the pipe between the two processes.
        """
        self.share_with_children()
        assert self._shared is not None
        state = (
            *(self.name, self.path, self.mode, self.allowed_hosts, self._opened_ns),
            [secret.reveal() for secret in self._secrets or ()],
            self._shared.path,
        )
        return OpenCassette._open_in_child, (state,)

    @classmethod
    def _open_in_child(cls, state: tuple[Any, ...]) -> bool:
        """Open the cassette of a parent process for the whole life of this one."""
        name, path, mode, hosts, opened_ns, keys, folder = state
        secrets = [Secret(key) for key in keys]
        opened = cls(path, name=name, mode=mode, secrets=secrets, allow_hosts=hosts)
        opened._scrubber = Scrubber(secrets)
        if mode == "replay":
            opened._read()
        opened._opened_ns = opened_ns
        opened._shared = SharedFolder(folder)
        opened._index.share(opened._shared)
        opened.become_child()
        _OPEN.acquire(blocking=False)
        opened._install(opened._stack)
        return True

    def become_child(self) -> None:
        """Continue as the cassette of a child process, which passes its exchanges to its parent."""
        self._is_child = True
        self._recorders = []
        self._lock = threading.Lock()  # another thread may have held it when the process forked
        self._index.forget_lock()

    # ---- what the patches need ------------------------------------------------------------------

    def scrub_request(
        self, method: str, uri: str, headers: Mapping[str, str], body: bytes
    ) -> Exchange:
        """The request without secrets, as it is written and looked up."""
        scrubber = self._scrubber
        body = decompress_request(headers, body)
        with self._lock:  # it may add a credential
            scrubber.learn_from(uri, headers)
        return Exchange(
            method=method.upper(),
            uri=scrubber.scrub_uri(uri),
            request_headers=scrubber.scrub_request_headers(headers),
            request_body=scrubber.scrub_body(body),
        )

    def find_answer(self, asked: Exchange) -> Exchange | None:
        """The recorded answer to replay; None while recording.

        Raises:
            CassetteMissing: there is no (further) matching request.
        """
        if self.mode == "record":
            return None
        answer = self._index.play(asked.key)
        if answer is None:
            self._miss(asked)
        return answer

    def start_recording(self, asked: Exchange) -> ExchangeRecorder:
        """Start to record the answer to a request."""
        recorder = ExchangeRecorder(asked, self._opened_ns)
        if self._is_child and self._shared is not None:
            recorder.on_end(lambda ended: self._leave(ended))
        self._recorders.append(recorder)
        return recorder

    def _leave(self, recorder: ExchangeRecorder) -> None:
        if recorder.is_answered and self._shared is not None:
            self._shared.leave(recorder.finish(self._scrubber))

    def refuse_connection(self, host: str, port: int | None) -> NoReturn:
        """Refuse a connection that does not use the patched HTTP libraries.

        Raises:
            CassetteMissing: always.
        """
        where = host if port is None else f"{host}:{port}"
        self._refuse(
            f"a connection to {where} was refused",
            f"Replay makes no connections. To allow this one: `allow_hosts=[{where!r}]`.",
        )

    def refuse_client(self, client: str) -> NoReturn:
        """Refuse a client with a network stack of its own, which no patch can look into.

        Raises:
            CassetteMissing: always.
        """
        self._refuse(
            f"a connection through {client} was refused",
            f"A cassette cannot hold what {client} sends. Use a client that speaks HTTP through "
            "httpx, aiohttp, requests, urllib3 or http.client.",
        )

    def _refuse(self, what: str, hint: str) -> NoReturn:
        miss = self._scrubber.scrub_text(what)
        self.misses.append(miss)
        raise CassetteMissing(f"the cassette {self.name} is being replayed: {miss}", hint=hint)

    def _miss(self, asked: Exchange) -> NoReturn:
        if self._index.knows(asked.key):
            why = "all its recorded answers have been played"
        else:
            why = self._index.describe_nearest(asked)
        # The recording may contain a key that became known later.
        miss = self._scrubber.scrub_text(f"{asked.method} {asked.uri}: {why}")
        self.misses.append(miss)
        raise self._missing(miss)

    def _missing(self, miss: str) -> CassetteMissing:
        return CassetteMissing(
            f"the cassette {self.name} has no matching request: {miss}",
            hint=_HINT if self._record_hint == _RECORD_HINT else f"{_HINT} {self._record_hint}",
        )

    def discard(self) -> None:
        """Discard the recording and ignore misses, because the block failed."""
        self._is_discarded = True
        self.misses.clear()

    # ---- for tests -------------------------------------------------------------------

    @property
    def unplayed(self) -> list[Exchange]:
        """Recorded exchanges that were not requested yet."""
        return self._index.unplayed

    def __len__(self) -> int:
        """Number of exchanges in the cassette, or recorded so far."""
        return len(self._recorders) if self.mode == "record" else len(self._index)


def known_secrets() -> tuple[Secret, ...]:
    """Every key that the toolkit knows in this home folder."""
    from toolkit.keys.service import Keys
    from toolkit.providers.registry import Registry
    from toolkit.settings import Settings

    settings = Settings()
    return tuple(Keys(settings, Registry(settings)).known_secrets())


def _origin_facts() -> dict[str, Any]:
    from importlib.metadata import version

    from toolkit.version import __version__

    return {
        "recorded_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "toolkit_version": __version__,
        "litellm_version": version("litellm"),
    }


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """Set an environment variable during the block, unless it is already set."""
    if name in os.environ or "litellm" in sys.modules:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)
