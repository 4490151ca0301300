"""Our cassette as vcrpy sees it: its patches and stubs, our index, our taps, our file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vcr.cassette import Cassette
from vcr.filters import decode_response
from vcr.record_mode import RecordMode
from vcr.request import Request

from toolkit.replay.cassettes.exchange import Exchange
from toolkit.replay.cassettes.aiohttp_patch import build_aiohttp_tap
from toolkit.replay.cassettes.httpx_patch import build_httpx_taps

if TYPE_CHECKING:
    from toolkit.replay.cassettes.cassette import OpenCassette


# A local server that is started within a recording is asked how it is; that is no traffic of ours.
_HEALTH_PATHS: Final = ("/health", "/metrics", "/props")


class VcrCassette(Cassette):  # type: ignore[misc]
    """Answers vcrpy's stubs (requests, urllib3, http.client, ...) from an `OpenCassette`."""

    def __init__(self, path: str, opened: OpenCassette) -> None:
        super().__init__(
            path,
            record_mode=RecordMode.NONE if opened.mode == "replay" else RecordMode.ALL,
            skip_patchers=("aiohttp", "httpx"),
            custom_patches=(*build_httpx_taps(opened), build_aiohttp_tap(opened)),
        )
        self._opened = opened

    def can_play_response_for(self, request: Request) -> bool:
        """Whether an answer is there; in replay a request without one is an error at once."""
        return self._opened.peek_answer(self._scrubbed(request)) is not None

    def play_response(self, request: Request) -> dict[str, Any]:
        """The next answer in vcrpy's form."""
        answer = self._opened.find_answer(self._scrubbed(request))
        assert answer is not None
        return {
            "status": {"code": answer.status, "message": answer.reason},
            "headers": {name: list(values) for name, values in answer.answer_headers.items()},
            "body": {"string": answer.body},
        }

    def append(self, request: Request, response: dict[str, Any]) -> None:
        """Keep an exchange that a stub of vcrpy's has recorded."""
        if request.path in _HEALTH_PATHS:
            return
        plain = decode_response(response)
        take = self._opened.start_take(self._scrubbed(request))
        status = plain["status"]
        headers = [(k, v) for k, values in plain["headers"].items() for v in values]
        take.keep_head(status["code"], status["message"] or "", headers, plain=True)
        take.keep_piece(plain["body"].get("string") or b"")
        take.end()

    def _scrubbed(self, request: Request) -> Exchange:
        body = request.body_bytes
        if hasattr(body, "read"):
            body = body.read()
        return self._opened.scrub_request(request.method, request.uri, request.headers, body or b"")

    def _load(self) -> None:
        """The file has been read already."""

    def _save(self, force: bool = False) -> None:
        """The file is written when the cassette is closed, by whoever opened it."""
