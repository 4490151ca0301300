"""JSON on several lines without touching a single token, so that a diff of it can be read."""

from __future__ import annotations

import re
from typing import Final

import orjson

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_MAX_BYTES: Final = 4 * 1024 * 1024


def lay_out_json(body: bytes) -> bytes:
    """A JSON object or array, indented; anything else, and huge bodies, as they are.

    Numbers, escapes and the order of members stay exactly as they were written.
    Lists of plain numbers (embeddings) stay on one line.
    """
    if body[:1] not in (b"{", b"[") or len(body) > _MAX_BYTES:
        return body
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    return _indent(_TOKEN.findall(body.decode("utf-8"))).encode("utf-8")


def _indent(tokens: list[str]) -> str:
    out: list[str] = []
    flat: list[bool] = []
    for at, part in enumerate(tokens):
        before = tokens[at - 1] if at else ""
        if part in "]}":
            was_flat = flat.pop()
            if before not in "[{" and not was_flat:
                out.append(_line(flat))
            out.append(part)
        elif part == ",":
            out.append(", " if flat[-1] else "," + _line(flat))
        elif part == ":":
            out.append(": ")
        else:
            if before and before in "[{" and not flat[-1]:
                out.append(_line(flat))
            out.append(part)
            if part in "[{":
                flat.append(part == "[" and _is_flat(tokens, at + 1))
    return "".join(out)


def _line(flat: list[bool]) -> str:
    return "\n" + "  " * len(flat)


def _is_flat(tokens: list[str], start: int) -> bool:
    """Whether the list that opens before `start` holds numbers and words only."""
    for part in tokens[start:]:
        if part == "]":
            return True
        if part[0] in '"[{':
            return False
    return False
