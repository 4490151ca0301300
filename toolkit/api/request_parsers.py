"""Request parsers: routes of the gateway that take bodies of another form than OpenAI's.

A parser turns a foreign body into OpenAI's chat form and nothing more. From there the request
goes the way of every other: the same allow list, the same token, budget, failover and ledger, so
that a parser cannot open what the gateway keeps shut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import ValidationError

from toolkit.api.access import require_scope
from toolkit.api.bearer_tokens import BearerToken
from toolkit.api.chat_format import ChatBody, completion_json
from toolkit.api.gateway import answer_chat
from toolkit.errors import InvalidInput, ToolkitError
from toolkit.extensions import load_extensions
from toolkit.records import Reply

if TYPE_CHECKING:
    from toolkit.toolkit import Toolkit

_PATH: Final = re.compile(r"/v1/[a-z0-9][a-z0-9_-]{0,62}(?:/[a-z0-9][a-z0-9_-]{0,62}){0,3}")
_OWN: Final = frozenset({"/v1/models", "/v1/chat/completions", "/v1/embeddings"})


class RequestParser(Protocol):
    """What a package announces in the entry point group `toolkit.request_parsers`.

    Attributes:
        path: where it listens, below `/v1/`.
    """

    path: str

    def parse(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The body in the form of `POST /v1/chat/completions`; raise ValueError to refuse it."""

    def answer(self, reply: Reply) -> Mapping[str, Any]:
        """The reply in the parser's own form. A parser may go without it: then it is OpenAI's."""


def build_parsers(toolkit: Toolkit) -> APIRouter:
    """A route for each request parser that the settings name.

    Raises:
        InvalidInput: one of them does not load, or its path is not its own.
    """
    router = APIRouter(tags=["gateway"])
    taken = set(_OWN)
    for name, parser in load_extensions(
        "request_parsers", toolkit.settings.request_parsers
    ).items():
        path = str(getattr(parser, "path", ""))
        if not _PATH.fullmatch(path) or path in taken:
            raise InvalidInput(
                f"the request parser {name!a} has no path of its own below /v1/",
                hint="Its `path` must be like `/v1/some-name`, and no other route may have it.",
            )
        taken.add(path)
        _add_route(router, toolkit, name, parser)
    return router


def _add_route(router: APIRouter, toolkit: Toolkit, name: str, parser: RequestParser) -> None:
    may_call = Depends(require_scope("call"))

    @router.post(parser.path, summary=f"Ask a model in the form of {name}", response_model=None)
    async def ask(
        body: dict[str, Any], request: Request, token: BearerToken = may_call
    ) -> JSONResponse | StreamingResponse:
        asked = _read(name, parser, body)
        return await answer_chat(toolkit, asked, request, token, _writer(name, parser))


def _read(name: str, parser: RequestParser, body: Mapping[str, Any]) -> ChatBody:
    parsed = _run(name, "read the request", lambda: dict(parser.parse(body)))
    try:
        return ChatBody.model_validate(parsed)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from None


def _writer(name: str, parser: RequestParser) -> Callable[[Reply], dict[str, Any]]:
    answer = getattr(parser, "answer", None)
    if answer is None:
        return completion_json
    return lambda reply: _run(name, "write the answer", lambda: dict(answer(reply)))


def _run(name: str, doing: str, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Let the parser work; what it raises becomes an error of ours, without its inner words."""
    try:
        return act()
    except ToolkitError:
        raise
    except Exception as error:  # noqa: BLE001 - foreign code
        raise InvalidInput(
            f"the request parser {name!a} could not {doing} ({type(error).__name__})"
        ) from None
