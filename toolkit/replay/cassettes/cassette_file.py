"""The cassette file: readable YAML in vcrpy's format, written atomically.

A digest over the content detects edited and incomplete files, which are refused. Aliases, foreign
tags and huge files are refused before they are parsed.
"""

from __future__ import annotations
import base64
import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
import orjson
import yaml
from toolkit.errors import CassetteError, CassetteMissing, CassetteStale
from toolkit.replay.cassettes.exchange import Chunk, Exchange
from typing import Final


# JSON on several lines with unchanged tokens, for readable diffs.


_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_MAX_BYTES: Final = 4 * 1024 * 1024


def lay_out_json(body: bytes) -> bytes:
    """Indent a JSON object or array; other text and huge bodies are returned unchanged.

    Numbers, escapes and the order of members are not changed.
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
    """Whether the list that opens before `start` contains only numbers and literals."""
    for part in tokens[start:]:
        if part == "]":
            return True
        if part[0] in '"[{':
            return False
    return False


FORMAT: Final = 1
MAX_FILE_BYTES: Final = 32 * 1024 * 1024
_RERECORD: Final = "Delete it and record it again."
_RECORD_HINT: Final = "Record it with `toolkit cassette record`."

_ASTRAL: Final = re.compile(rb"[\xf0-\xf4]")  # first byte of such a character in UTF-8

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True)
class CassetteFile:
    """The content of one cassette.

    Attributes:
        exchanges: recorded exchanges, in the order of the requests.
        metadata: when and by what it was recorded, and the notes of the recorder; JSON values.
    """

    exchanges: tuple[Exchange, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


class _StrictLoader(_Loader):  # type: ignore[misc]
    """Plain values only: with aliases a small file could expand to a huge one."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        if node in self.constructed_objects:
            raise yaml.constructor.ConstructorError(
                None, None, "aliases are not allowed", node.start_mark
            )
        return super().construct_object(node, deep)


class _FastDumper(_Dumper):  # type: ignore[misc]
    """Represent multi-line strings as literal blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _PatientDumper(yaml.SafeDumper):
    """The same in Python: libyaml escapes characters beyond the basic plane (emoji)."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: Any, text: str) -> Any:
    is_block = "\n" in text and not any(mark in text for mark in "\r\x85\u2028\u2029\ufeff")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if is_block else None)


_FastDumper.add_representer(str, _represent_text)
_PatientDumper.add_representer(str, _represent_text)


def load_yaml(text: str) -> Any:
    """Parse YAML without aliases and custom tags.

    Raises:
        yaml.YAMLError: not valid YAML; RecursionError, ValueError: a malicious document.
    """
    return yaml.load(text, Loader=_StrictLoader)  # noqa: S506  a subclass of the safe loader


def read_cassette(path: Path, *, record_hint: str = _RECORD_HINT) -> CassetteFile:
    """Read a cassette.

    Raises:
        CassetteMissing: there is no such file.
        CassetteStale: it is empty, incomplete, edited, too large or not a cassette.
    """
    data = _require_mapping(path, _require_text(path, record_hint))
    metadata = data.get("metadata")
    if not isinstance(metadata, dict) or "digest" not in metadata:
        raise _stale(path, "has no digest: it is incomplete, or was not recorded by the toolkit")
    if metadata.get("format") != FORMAT:
        raise _stale(path, f"has format {metadata.get('format')!r}, this version reads {FORMAT}")
    if metadata["digest"] != _digest(data):
        raise _stale(path, "was changed after it was recorded")
    try:
        wires = metadata["wire"]
        exchanges = [
            _exchange(raw, wire) for raw, wire in zip(data["interactions"], wires, strict=True)
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _stale(path, "does not have the structure of a cassette") from None
    notes = {k: v for k, v in metadata.items() if k not in ("digest", "wire", "format")}
    return CassetteFile(tuple(exchanges), notes)


def _require_text(path: Path, record_hint: str) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            limit = MAX_FILE_BYTES >> 20
            raise _stale(path, f"is {size >> 20} MB; a cassette holds at most {limit} MB")
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise CassetteMissing(f"there is no cassette {path}", hint=record_hint) from None
    except UnicodeDecodeError:
        raise _stale(path, "is not UTF-8 text") from None
    except OSError as error:
        raise _stale(path, f"cannot be read ({error.strerror})") from None
    if not text.strip():
        raise _stale(path, "is empty")
    return text


def _require_mapping(path: Path, text: str) -> dict[str, Any]:
    try:
        data = load_yaml(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        words = getattr(error, "problem", None) or type(error).__name__
        raise _stale(path, f"is not a complete cassette ({words})") from None
    if not isinstance(data, dict) or not isinstance(data.get("interactions"), list):
        raise _stale(path, "does not have the structure of a cassette")
    return data


def _stale(path: Path, what: str) -> CassetteStale:
    return CassetteStale(f"the cassette {path} {what}", hint=_RERECORD)


def write_cassette(path: Path, content: CassetteFile) -> None:
    """Write a cassette atomically.

    Raises:
        CassetteError: it is too large, or cannot be written.
    """
    text = render_cassette(content)
    if len(text) > MAX_FILE_BYTES:
        raise CassetteError(
            f"the cassette {path} would be larger than {MAX_FILE_BYTES >> 20} MB",
            hint="Record fewer calls into one cassette: one case, one file.",
        )
    write_whole(path, text)


def write_whole(path: Path, text: str) -> None:
    """Replace the file at `path` atomically.

    Raises:
        CassetteError: it cannot be written.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp creates files with mode 0600, but a cassette is shared through git
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise CassetteError(
            f"{path} could not be written ({error.strerror})",
            hint="Check the folder's permissions and the free disk space.",
        ) from None


def render_cassette(content: CassetteFile) -> str:
    """The text of a cassette's file."""
    laid_out = [_laid_out(exchange) for exchange in content.exchanges]
    metadata = {"format": FORMAT, **content.metadata, "wire": [_wire_dict(e) for e in laid_out]}
    data: dict[str, Any] = {
        "version": 1,
        "interactions": [_interaction_dict(exchange) for exchange in laid_out],
        "metadata": metadata,
    }
    metadata["digest"] = _digest(data)
    bodies = (body for exchange in laid_out for body in (exchange.request_body, exchange.body))
    if any(_ASTRAL.search(body) for body in bodies):
        text = _dump(data, _PatientDumper)
        # PyYAML's own emitter loses some control characters next to emoji.
        if load_yaml(text) == data:
            return text
    return _dump(data, _FastDumper)


def _dump(data: Any, dumper: Any) -> str:
    return str(yaml.dump(data, Dumper=dumper, allow_unicode=True, sort_keys=False, width=100))


def _laid_out(exchange: Exchange) -> Exchange:
    """The exchange with whole JSON bodies on several lines; a stream is unchanged."""
    asked = lay_out_json(exchange.request_body)
    if exchange.cut is None and not exchange.is_stream:
        answer = lay_out_json(exchange.body)
        if answer != exchange.body:
            at_ms = exchange.chunks[-1].at_ms if exchange.chunks else exchange.headers_ms
            chunks = (Chunk(len(answer), at_ms),)
            return replace(exchange, request_body=asked, body=answer, chunks=chunks)
    return replace(exchange, request_body=asked)


def _interaction_dict(exchange: Exchange) -> dict[str, Any]:
    return {
        "request": {
            "method": exchange.method,
            "uri": exchange.uri,
            "headers": {name: [value] for name, value in exchange.request_headers.items()},
            "body": _text_of(exchange.request_body) or None,
        },
        "response": {
            "status": {"code": exchange.status, "message": exchange.reason},
            "headers": {name: list(values) for name, values in exchange.answer_headers.items()},
            "body": {"string": _text_of(exchange.body)},
        },
    }


def _wire_dict(exchange: Exchange) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "started_ms": round(exchange.started_ms, 3),
        "headers_ms": round(exchange.headers_ms, 3),
        "chunks": " ".join(f"{chunk.size}@{chunk.at_ms:.3f}" for chunk in exchange.chunks),
    }
    return wire | ({"cut": exchange.cut} if exchange.cut else {})


def _exchange(raw: Mapping[str, Any], wire: Mapping[str, Any]) -> Exchange:
    asked, answer = raw["request"], raw["response"]
    chunks = (part.split("@") for part in wire["chunks"].split())
    return Exchange(
        method=asked["method"],
        uri=asked["uri"],
        request_headers={name: values[0] for name, values in asked["headers"].items()},
        request_body=_bytes_of(asked["body"]),
        status=int(answer["status"]["code"]),
        reason=answer["status"]["message"] or "",
        answer_headers=answer["headers"],
        body=_bytes_of(answer["body"]["string"]),
        started_ms=float(wire["started_ms"]),
        headers_ms=float(wire["headers_ms"]),
        chunks=tuple(Chunk(int(size), float(at_ms)) for size, at_ms in chunks),
        cut=wire.get("cut"),
    )


def _text_of(body: bytes) -> str | bytes:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body


def _bytes_of(body: str | bytes | None) -> bytes:
    return body.encode("utf-8") if isinstance(body, str) else body or b""


def _digest(data: Mapping[str, Any]) -> str:
    metadata = {k: v for k, v in data["metadata"].items() if k != "digest"}
    content = {"interactions": data["interactions"], "metadata": metadata}
    try:
        form = orjson.dumps(content, option=orjson.OPT_SORT_KEYS, default=_encode_bytes)
    except TypeError:
        return "unreadable"
    return hashlib.sha256(form).hexdigest()


def _encode_bytes(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError
