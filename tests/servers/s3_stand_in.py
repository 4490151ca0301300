"""S3-compatible storage on loopback: what DuckDB needs of it, kept in memory."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class S3StandIn:
    """A server of objects; every request must carry a signature of the given key."""

    def __init__(self, key_id: str) -> None:
        self.objects: dict[str, bytes] = {}
        self.unsigned: list[str] = []
        self._parts: dict[str, dict[int, bytes]] = {}
        self._lock = threading.Lock()
        stand_in = self

        class Handler(_Handler):
            storage = stand_in
            signed_by = f"Credential={key_id}/"

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> S3StandIn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put_part(self, upload: str, number: int, content: bytes) -> None:
        with self._lock:
            self._parts.setdefault(upload, {})[number] = content

    def complete(self, upload: str, path: str) -> None:
        with self._lock:
            parts = self._parts.pop(upload, {})
            self.objects[path] = b"".join(parts[number] for number in sorted(parts))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    storage: S3StandIn
    signed_by: str

    def do_GET(self) -> None:
        path, query = self._target()
        if "list-type" in query:
            return self._list(path, query.get("prefix", [""])[0])
        content = self.storage.objects.get(path)
        if content is None:
            return self._answer(404)
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if found is None:
            return self._answer(200, content)
        first = int(found[1])
        last = min(int(found[2] or len(content) - 1), len(content) - 1)
        span = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        return self._answer(206, content[first : last + 1], span)

    def do_HEAD(self) -> None:
        path, _ = self._target()
        content = self.storage.objects.get(path)
        self._answer(404 if content is None else 200, content or b"")

    def do_PUT(self) -> None:
        path, query = self._target()
        content = self._body()
        if "uploadId" in query:
            self.storage.put_part(query["uploadId"][0], int(query["partNumber"][0]), content)
        else:
            self.storage.objects[path] = content
        self._answer(200)

    def do_POST(self) -> None:
        path, query = self._target()
        self._body()
        if "uploads" in query:
            text = f"<R><UploadId>{abs(hash(path))}</UploadId></R>"
            return self._answer(200, text.encode())
        self.storage.complete(query["uploadId"][0], path)
        return self._answer(200, b"<CompleteMultipartUploadResult/>")

    def do_DELETE(self) -> None:
        path, _ = self._target()
        self.storage.objects.pop(path, None)
        self._answer(204)

    def _target(self) -> tuple[str, dict[str, list[str]]]:
        if self.signed_by not in self.headers.get("Authorization", ""):
            self.storage.unsigned.append(f"{self.command} {self.path}")
        parts = urlsplit(self.path)
        return unquote(parts.path).lstrip("/"), parse_qs(parts.query, keep_blank_values=True)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _list(self, bucket: str, prefix: str) -> None:
        start = f"{bucket.strip('/')}/"
        names = [
            n.removeprefix(start) for n in self.storage.objects if n.startswith(start + prefix)
        ]
        rows = "".join(f"<Contents><Key>{escape(name)}</Key></Contents>" for name in names)
        self._answer(200, f"<ListBucketResult>{rows}</ListBucketResult>".encode())

    def _answer(self, status: int, content: bytes = b"", headers: Any = None) -> None:
        self.send_response(status)
        values = {"ETag": '"0"', "Content-Length": str(len(content)), "Accept-Ranges": "bytes"}
        values["Last-Modified"] = "Mon, 02 Nov 2026 10:00:00 GMT"
        for name, value in {**values, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""
