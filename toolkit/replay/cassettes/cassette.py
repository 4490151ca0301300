"""`with tk.cassette("suite/case"):` records HTTP traffic once and plays it for ever.

Open one, and every HTTP call of the process goes through it: the toolkit's own, those of the
official clients, those of any library on httpx, aiohttp, requests, urllib3 or http.client.
In replay nothing leaves the process: what the cassette does not hold is an error.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NoReturn, Self

from toolkit.calls.source import marked_source
from toolkit.errors import CallError, CassetteError, CassetteMissing, InvalidInput
from toolkit.replay.cassettes.cassette_path import FOLDER, cassette_path
from toolkit.replay.cassettes.exchange import Exchange
from toolkit.replay.cassettes.leaks import find_tape_leaks
from toolkit.replay.cassettes.recording_lock import recording_lock
from toolkit.replay.cassettes.request_index import RequestIndex
from toolkit.replay.cassettes.scrub import Scrubber
from toolkit.replay.cassettes.recording import ExchangeRecorder
from toolkit.replay.cassettes.cassette_file import CassetteFile, read_tape, write_tape
from toolkit.secret import Secret

Mode = Literal["auto", "replay", "record"]

_OPEN = threading.Lock()  # the taps are process-wide, so there is one open cassette at a time


def cassette(
    name: str,
    *,
    mode: Mode = "auto",
    folder: Path | str = FOLDER,
    secrets: Iterable[Secret] | None = None,
) -> OpenCassette:
    """Record the HTTP calls of a `with` block, or play them when they are recorded already.

    Args:
        name: `suite/case`; the file is `cassettes/suite/case.yaml`.
        mode: `auto` records when there is no file and plays otherwise, `replay` only plays,
            `record` records anew and replaces the file.
        folder: where cassettes lie.
        secrets: keys that must not be written; None: every key that the toolkit knows.

    Returns:
        The cassette, to be used in a `with` block.

    Raises (on entering or on a call within the block):
        CassetteMissing: in replay there is no such cassette, or it holds no such request.
        CassetteStale: it is empty, half-written or edited.
        InvalidInput: a name that is no name, or another cassette is open.
        CassetteError: what was recorded may not be written, because a secret is still in it.
    """
    if mode not in ("auto", "replay", "record"):
        raise InvalidInput(f"{mode!r} is no mode", hint="Use `auto`, `replay` or `record`.")
    return OpenCassette(cassette_path(name, folder), name=name, mode=mode, secrets=secrets)


class OpenCassette:
    """A cassette in use.

    Attributes:
        name, path: what it is called and where it lies.
        mode: `record` or `replay`; before it is entered it may be `auto`.
        metadata: what is written beside the traffic; add to it while recording.
        misses: requests of a replay that the cassette did not hold, in words.
    """

    def __init__(
        self, path: Path, *, name: str, mode: Mode, secrets: Iterable[Secret] | None
    ) -> None:
        self.name = name
        self.path = path
        self.mode: Mode = mode
        self.metadata: dict[str, Any] = {}
        self.misses: list[str] = []
        self._secrets = secrets
        self._scrubber = Scrubber()
        self._reel = RequestIndex(())
        self._takes: list[ExchangeRecorder] = []
        self._opened_ns = 0
        self._stack = ExitStack()
        self._is_discarded = False

    # ---- opening and closing ----------------------------------------------------------------

    def __enter__(self) -> Self:
        if not _OPEN.acquire(blocking=False):
            raise InvalidInput(
                f"cannot open the cassette {self.name}: another one is open in this process",
                hint="Close it first; a cassette listens to the whole process.",
            )
        with ExitStack() as stack:
            stack.callback(_OPEN.release)
            self._prepare(stack)
            stack.enter_context(self._listen())
            stack.enter_context(marked_source("replay" if self.mode == "replay" else "record"))
            self._stack = stack.pop_all()
        return self

    def _prepare(self, stack: ExitStack) -> None:
        if self.mode == "auto":
            self.mode = "replay" if self.path.exists() else "record"
        known = known_secrets() if self._secrets is None else self._secrets
        self._scrubber = Scrubber(known)
        if self.mode == "record":
            stack.enter_context(recording_lock(self.path))
        else:
            tape = read_tape(self.path)
            self.metadata = dict(tape.metadata)
            self._reel = RequestIndex(tape.exchanges)
        self._opened_ns = time.monotonic_ns()

    def _listen(self) -> Any:
        from toolkit.replay.cassettes.vcr_cassette import VcrCassette

        return VcrCassette.use(path=str(self.path), opened=self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            # A provider's failure is what was to be recorded; any other error leaves half of it.
            is_whole = error is None or isinstance(error, CallError)
            if self.mode == "record" and is_whole and not self._is_discarded:
                self._write([t.finish(self._scrubber) for t in self._takes if t.is_answered])
        if self.misses and error is None:
            raise self._missing(self.misses[0])

    def _write(self, exchanges: Sequence[Exchange]) -> None:
        if not exchanges:
            raise CassetteError(
                f"nothing was recorded into {self.name}: no answer came over HTTP",
                hint="A mocked or cached answer makes no traffic; a refused connection no answer.",
            )
        tape = CassetteFile(tuple(exchanges), {**_origin_facts(), "name": self.name, **self.metadata})
        if leaks := find_tape_leaks(tape, self._scrubber):
            raise CassetteError(
                f"the cassette {self.name} was not written: it still holds {', '.join(leaks)}",
                hint="A key may be part of the prompt or of the answer; take it out and try again.",
            )
        write_tape(self.path, tape)

    # ---- what the taps ask ------------------------------------------------------------------

    def scrub_request(
        self, method: str, uri: str, headers: Mapping[str, str], body: bytes
    ) -> Exchange:
        """The request as it may be written and is looked up."""
        scrubber = self._scrubber
        scrubber.learn_from(uri, headers)
        return Exchange(
            method=method.upper(),
            uri=scrubber.scrub_uri(uri),
            request_headers=scrubber.scrub_request_headers(headers),
            request_body=scrubber.scrub_body(body),
        )

    def find_answer(self, asked: Exchange) -> Exchange | None:
        """The recorded answer, which is then played; None while recording.

        Raises:
            CassetteMissing: replay has no (further) such request.
        """
        if self.mode == "record":
            return None
        answer = self._reel.play(asked.key)
        if answer is None:
            self._miss(asked)
        return answer

    def peek_answer(self, asked: Exchange) -> Exchange | None:
        """The same without playing it."""
        if self.mode == "record":
            return None
        answer = self._reel.find_next(asked.key)
        if answer is None:
            self._miss(asked)
        return answer

    def start_take(self, asked: Exchange) -> ExchangeRecorder:
        """Begin to record the answer to a request that is now sent."""
        take = ExchangeRecorder(asked, self._opened_ns)
        self._takes.append(take)
        return take

    def _miss(self, asked: Exchange) -> NoReturn:
        if self._reel.knows(asked.key):
            why = "all its recorded answers have been played"
        else:
            why = self._reel.describe_nearest(asked)
        # What was recorded may hold a key that has become known since.
        miss = self._scrubber.scrub_text(f"{asked.method} {asked.uri}: {why}")
        self.misses.append(miss)
        raise self._missing(miss)

    def _missing(self, miss: str) -> CassetteMissing:
        return CassetteMissing(
            f"the cassette {self.name} holds no such request: {miss}",
            hint="If the request was meant to change, record the cassette again.",
        )

    def discard(self) -> None:
        """Write nothing at the end, and keep silent about misses: what was to happen did not."""
        self._is_discarded = True
        self.misses.clear()

    # ---- what a test asks -------------------------------------------------------------------

    @property
    def unplayed(self) -> list[Exchange]:
        """Recorded exchanges that nobody has asked for yet."""
        return self._reel.unplayed

    def __len__(self) -> int:
        """How many exchanges the cassette holds, or has recorded so far."""
        return len(self._takes) if self.mode == "record" else len(self._reel)


def known_secrets() -> tuple[Secret, ...]:
    """Every key that the toolkit knows in this home folder."""
    from toolkit.keys.service import Keys
    from toolkit.settings import Settings

    return tuple(Keys(Settings()).known_secrets())


def _origin_facts() -> dict[str, Any]:
    from importlib.metadata import version

    from toolkit.version import __version__

    return {
        "recorded_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "toolkit_version": __version__,
        "litellm_version": version("litellm"),
    }
