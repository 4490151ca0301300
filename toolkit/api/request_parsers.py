"""Request parsers: routes of the gateway that take bodies of another form than OpenAI's.

A parser turns a foreign body into OpenAI's chat form and nothing more. From there the request
goes the way of every other: the same allow list, the same token, budget, failover and ledger, so
that a parser cannot open what the gateway keeps shut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from toolkit.api.access import require_scope
from toolkit.api.bearer_tokens import BearerToken
from toolkit.api.formats.chat_format import ChatBody, ChatFormat
from toolkit.api.formats.model_request import ModelRequest
from toolkit.api.gateway import check_body
from toolkit.api.model_calls import ModelCalls
from toolkit.errors import InvalidInput, ToolkitError
from toolkit.extensions import load_extensions
from toolkit.records import Reply

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


def build_parsers(calls: ModelCalls) -> APIRouter:
    """A route for each request parser that the settings name.

    Raises:
        InvalidInput: one of them does not load, or its path is not its own.
    """
    router = APIRouter(tags=["gateway"])
    used = set(_OWN)
    names = calls.toolkit.settings.request_parsers
    for name, parser in load_extensions("request_parsers", names).items():
        path = str(getattr(parser, "path", ""))
        if not _PATH.fullmatch(path) or path in used:
            raise InvalidInput(
                f"the request parser {name!a} has no path of its own below /v1/",
                hint="Its `path` must be like `/v1/some-name`, and no other route may have it.",
            )
        used.add(path)
        _add_route(router, calls, name, parser)
    return router


def _add_route(router: APIRouter, calls: ModelCalls, name: str, parser: RequestParser) -> None:
    may_call = Depends(require_scope("call"))

    @router.post(parser.path, summary=f"Chat in the form of {name}", response_model=None)
    async def parsed(
        body: dict[str, Any], http: Request, token: BearerToken = may_call
    ) -> Response:
        chat = _run(name, "read the request", lambda: dict(parser.parse(body)))
        request = check_body(ChatBody, chat).to_request()
        return await calls.answer(request, http, token, _ParsedFormat(name, parser, request))


class _ParsedFormat(ChatFormat):
    """OpenAI's form, with whole answers in the parser's own where it has one."""

    def __init__(self, name: str, parser: RequestParser, request: ModelRequest) -> None:
        super().__init__(request)
        self._name, self._answer = name, getattr(parser, "answer", None)

    def whole(self, reply: Reply) -> dict[str, Any]:
        answer = self._answer
        if answer is None:
            return super().whole(reply)
        return _run(self._name, "write the answer", lambda: dict(answer(reply)))


def _run(name: str, doing: str, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Let the parser work; what it raises becomes an error of ours, without its inner message."""
    try:
        return act()
    except ToolkitError:
        raise
    except Exception as error:  # noqa: BLE001 - foreign code
        raise InvalidInput(
            f"the request parser {name!a} could not {doing} ({type(error).__name__})"
        ) from None
