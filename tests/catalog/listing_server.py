"""A real server on 127.0.0.1 that lists models: whatever a test puts under a path."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.servers.threaded import QuietHandler, ThreadedServer


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any = None


@dataclass
class Answer:
    """One answer: `body` is sent as it is when it is bytes or text, else as JSON."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Route = Callable[[Asked], Answer] | Answer


class ListingServer(ThreadedServer):
    """Answers by path; an unknown path is an empty 404. `asked` keeps every request."""

    def __init__(self, **routes: Route) -> None:
        self.routes: dict[str, Route] = dict(routes)
        self.asked: list[Asked] = []
        super().__init__(self._handler())

    def put(self, path: str, body: Any, status: int = 200, **headers: str) -> None:
        """Answer `path` with `body` from now on."""
        self.routes[path] = Answer(body, status, headers)

    def _handler(self) -> type[QuietHandler]:
        outer = self

        class Handler(QuietHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                sent = self.read_body()
                body = json.loads(sent) if sent else None
                headers = {k.lower(): v for k, v in self.headers.items()}
                asked = Asked(self.command, url.path, dict(parse_qsl(url.query)), headers, body)
                outer.asked.append(asked)
                route = outer.routes.get(url.path, Answer(status=404))
                answer = route if isinstance(route, Answer) else route(asked)
                self.reply(answer)

            do_POST = do_GET

            def reply(self, answer: Answer) -> None:
                content = answer.body
                if isinstance(content, str):
                    content = content.encode()
                if not isinstance(content, bytes):
                    content = json.dumps(content).encode()
                self.answer(content, answer.status, answer.headers)

        return Handler
