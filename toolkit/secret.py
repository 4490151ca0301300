"""`Secret`: a value that never prints; keys are passed around wrapped in it.

`redact` removes known secret values and anything that looks like a key from text that
came from outside (a provider's error body, an exception) before it is shown or stored.
`SecretMatcher` finds every written form of a secret, for redaction of rows and for
`toolkit scan`: a provider that echoes a key can do so in any encoding, in another case, in
reverse or cut. Matching is on bytes and by substring search: the forms of one secret cost 20
microseconds in a row of 2 KB.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import zlib
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, wraps
from itertools import islice
from traceback import clear_frames
from typing import Any, Final, NoReturn, ParamSpec, TypeVar
from urllib.parse import quote, quote_plus

P = ParamSpec("P")
R = TypeVar("R")

REDACTED: Final = "[redacted]"

# Known shapes of keys; names are what `toolkit scan` reports.
KEY_PATTERNS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    ("anthropic", re.compile(r"sk-ant-[A-Za-z0-9_\-]{16,}")),
    ("openrouter", re.compile(r"sk-or-(?:v1-)?[A-Za-z0-9]{16,}")),
    ("openai", re.compile(r"sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_\-]{16,}")),
    ("google", re.compile(r"AIza[0-9A-Za-z_\-]{30,}")),
    ("groq", re.compile(r"gsk_[A-Za-z0-9]{20,}")),
    ("xai", re.compile(r"xai-[A-Za-z0-9]{20,}")),
    ("perplexity", re.compile(r"pplx-[A-Za-z0-9]{20,}")),
    ("fireworks", re.compile(r"fw_[A-Za-z0-9]{20,}")),
    ("huggingface", re.compile(r"hf_[A-Za-z0-9]{20,}")),
    ("aws", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("bearer", re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/\-]{16,}=*")),
    ("query", re.compile(r"(?i)(?<=[?&](?:key|sig)=)[^&\s\"']{8,}")),
    ("query", re.compile(r"(?i)(?<=[?&](?:api_key|api-key)=)[^&\s\"']{8,}")),
    ("query", re.compile(r"(?i)(?<=[?&]access_token=)[^&\s\"']{8,}")),
    ("userinfo", re.compile(r"(?i)(?<=://)[^/\s:@\"']{1,128}:[^/\s@\"']{1,256}(?=@)")),
)

# A provider's "Incorrect API key provided: abc***xyz" repeats part of the key.
_ECHO: Final = re.compile(r"(?i)(api[ _-]?key(?: provided)?\s*[:=]\s*[\"']?)[^\s\"',.}]{6,}")

# Passwords in connection strings: `password=hush`, `postgres://me:hush@host`.
_PASSWORD: Final = re.compile(r"(password\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)", re.IGNORECASE)
_ANY_PASSWORD: Final = re.compile(r"(//[^:/@\s]*:)[^@\s]*@")

_FINGERPRINT_MIN_LENGTH: Final = 20
_MIN_REDACTABLE: Final = 6


# These are found by what stands before them, which a name does not have.
_IN_CONTEXT: Final = frozenset({"bearer", "query", "userinfo"})
_PARTS: Final = re.compile(r"[/:@\s]")
# Keys without a prefix of their own: letters of both cases and digits without any separator.
_SHAPELESS: Final = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])[A-Za-z0-9]{32,}")

_revealed: Final[dict[str, None]] = {}


def revealed_values() -> tuple[str, ...]:
    """Every secret value that was revealed in this process, oldest first; never show it."""
    return tuple(_revealed)


class Secret:
    """A secret text. It has no readable `repr`, `str`, format, pickle or JSON form.

    Call `reveal` at the one place where the value leaves for its own origin.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the plain value (`str`)."""
        # Whatever left once may come back in an answer: `SecretMatcher` keeps it out of rows.
        if self._value not in _revealed:
            _revealed[self._value] = None
        return self._value

    @property
    def hint(self) -> str:
        """The last four characters as `…3f2a` when there are 20 or more, else `…`."""
        return f"…{self._value[-4:]}" if len(self._value) >= _FINGERPRINT_MIN_LENGTH else "…"

    def __repr__(self) -> str:
        return f"Secret({self.hint})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied into another process")


def hides_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function that is given keys leave none of them in the traceback of its error.

    A traceback that shows local variables (rich's and pytest's can) would show the arguments in
    each frame that the error has passed, those of other libraries among them.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            args, kwargs = (), {}  # type: ignore[assignment]
            _forget_variables(error)
            raise

    return call


def hides_arguments_async(
    function: Callable[P, Coroutine[Any, Any, R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """The same for a coroutine function."""

    @wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await function(*args, **kwargs)
        except BaseException as error:
            args, kwargs = (), {}  # type: ignore[assignment]
            _forget_variables(error)
            raise

    return call


def _forget_variables(error: BaseException) -> None:
    """Clear the frames that an error, and those that led to it, have passed."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        found = todo.pop()
        if found is not None and id(found) not in seen:
            seen.add(id(found))
            clear_frames(found.__traceback__)
            todo += [found.__cause__, found.__context__]


def encodings(value: str) -> tuple[str, ...]:
    """All written forms of `value`: raw, URL-encoded, JSON-escaped and base64 (longest first)."""
    raw = value.encode("utf-8", "surrogatepass")
    forms = {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]}
    forms |= {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    return tuple(sorted((form for form in forms if form), key=len, reverse=True))


def redact(text: str, secrets: Iterable[Secret] = ()) -> str:
    """Return `text` with every known secret (in any encoding) and every key-like part removed."""
    for secret in secrets:
        value = secret.reveal()
        if len(value) < _MIN_REDACTABLE:
            continue
        for form in encodings(value):
            text = text.replace(form, REDACTED)
    for _, pattern in KEY_PATTERNS:
        text = pattern.sub(REDACTED, text)
    return _ECHO.sub(rf"\1{REDACTED}", text)


def hide_password(text: str) -> str:
    """Return `text` without the passwords of connection strings and addresses."""
    return _ANY_PASSWORD.sub(r"\1***@", _PASSWORD.sub(r"\1***", text))


def find_key_patterns(text: str) -> list[str]:
    """Names of the key shapes that occur in `text` (empty when it is clean)."""
    return sorted({name for name, pattern in KEY_PATTERNS if pattern.search(text)})


def is_like_key(name: str) -> bool:
    """Whether a name, of a model for example, is rather a key that was given in its place."""
    parts = [part for part in _PARTS.split(name) if len(part) >= _FINGERPRINT_MIN_LENGTH]
    return any(
        part in _revealed
        or bool(_SHAPELESS.fullmatch(part))
        or any(pattern.match(part) for kind, pattern in KEY_PATTERNS if kind not in _IN_CONTEXT)
        for part in parts
    )


MIN_CHARS: Final = 8
"""Shorter secrets are not looked for: they would be found in ordinary words."""

_MIN_CUT_CHARS: Final = 20
_SEARCHED: Final = 256
_SHORT_CHARS: Final = 64
_GRAM: Final = 4
# Base64 of gzip and zlib begins so; what a small text may become when it is unpacked is bounded.
_PACKED_HEADS: Final = (b"H4sI", b"eJ")
_PACKED: Final = re.compile(rb"(?<![A-Za-z0-9+/_-])(?:H4sI|eJ)[A-Za-z0-9+/_-]{20,}={0,2}")
_MAX_UNPACKED: Final = 16
_MAX_UNPACKED_BYTES: Final = 64 * 1024
# Every byte of a text in a notation of its own, and a byte that each has.
_SPELLINGS: Final[tuple[tuple[bytes, Callable[[int], str]], ...]] = (
    (b"&", lambda byte: f"&#{byte};"),
    (b"&", lambda byte: f"&#x{byte:x};"),
    (b"\\", lambda byte: f"\\u{byte:04x}"),
    (b"\\", lambda byte: f"\\x{byte:02x}"),
    # The same within JSON, where rows are searched; UTF-16 has a NUL beside each ASCII character.
    (b"\\", lambda byte: f"\\\\u{byte:04x}"),
    (b"\\", lambda byte: f"\\\\x{byte:02x}"),
    (b"\\", lambda byte: f"{chr(byte)}\\u0000"),
    (b"%", lambda byte: f"%{byte:02x}"),
    (b"%", lambda byte: f"%25{byte:02x}"),
)
# What every shape of a key begins with or contains; a text without any of them needs no pattern.
_SHAPE_HINTS: Final = (
    *("sk-", "AIza", "gsk_", "xai-", "pplx-", "fw_", "hf_", "AKIA", "ASIA"),
    *("earer ", "EARER ", "key=", "sig=", "token=", "://"),
)


@dataclass(frozen=True, slots=True)
class WrittenForm:
    """One written form of a secret.

    Attributes:
        whole: the form as bytes, in lower case where case does not matter.
        probe: a part of it that is in every cut form of three quarters of it, or all of it.
        is_any_case: whether it is looked for in any case.
        mark: it is only looked for in a text that has this byte (none: in every text).
    """

    whole: bytes
    probe: bytes
    is_any_case: bool
    mark: bytes = b""


class SecretMatcher:
    """Finds secrets in text, in all their forms.

    Args:
        values: the secrets; those shorter than `min_chars` are left out.
        min_chars: see `MIN_CHARS`.

    Attributes:
        forms: every written form of each, the longest first.
    """

    def __init__(self, values: Iterable[str], min_chars: int = MIN_CHARS) -> None:
        forms = {form for value in values if len(value) >= min_chars for form in _forms(value)}
        by_length = sorted(forms, key=lambda form: len(form.whole), reverse=True)
        self.forms: tuple[WrittenForm, ...] = tuple(by_length)
        self._starts = frozenset(form.probe[:_GRAM] for form in forms)
        self._by_mark: dict[bytes, list[WrittenForm]] = {}
        for written in by_length:
            self._by_mark.setdefault(written.mark, []).append(written)

    def spans(self, content: bytes) -> list[tuple[int, int]]:
        """Return where secrets stand, in order and without overlaps."""
        if not self.forms or (len(content) <= _SHORT_CHARS and not self._may_have_one(content)):
            return []
        found = self._occurrences(content)
        if any(head in content for head in _PACKED_HEADS):
            found += self._packed_spans(content)
        return _merged(found)

    def _occurrences(self, content: bytes) -> list[tuple[int, int]]:
        lower = content.lower()  # of bytes: ASCII only, so that offsets stay
        found = [
            (form, searched)
            for mark, forms in self._by_mark.items()
            if mark in lower
            for form in forms
            if form.probe in (searched := lower if form.is_any_case else content)
        ]
        return [span for form, searched in found for span in _occurrences(searched, form)]

    def _packed_spans(self, content: bytes) -> Iterator[tuple[int, int]]:
        """Where base64 of compressed bytes stands that holds a secret when it is unpacked."""
        for token in islice(_PACKED.finditer(content), _MAX_UNPACKED):
            if self._occurrences(_unpacked(token[0])):
                yield token.span()

    def _may_have_one(self, content: bytes) -> bool:
        """Whether a short text has the beginning of a probe: a few look-ups, not a search each."""
        lower = content.lower()
        grams = range(len(content) - _GRAM + 1)
        return any(
            content[at : at + _GRAM] in self._starts or lower[at : at + _GRAM] in self._starts
            for at in grams
        )

    def redact(self, text: str, placeholder: str = REDACTED) -> str:
        """Return `text` with every secret replaced by a placeholder."""
        content = text.encode("utf-8", "surrogatepass")
        clean = self.redact_bytes(content, placeholder)
        return text if clean is content else clean.decode("utf-8", "replace")

    def redact_bytes(self, content: bytes, placeholder: str = REDACTED) -> bytes:
        """Return `content` with every secret replaced; the same object where there is none."""
        spans = self.spans(content)
        return with_placeholders(content, spans, placeholder) if spans else content

    def redact_value(self, value: Any) -> Any:
        """Return a value of a row with the secrets in all its texts and names replaced."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, Mapping):
            return {self.redact(str(name)): self.redact_value(v) for name, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.redact_value(item) for item in value]
        return value


def current_matcher() -> SecretMatcher:
    """Return the matcher for every secret that was revealed in this process, newest first."""
    return _matcher(revealed_values()[-_SEARCHED:])


def with_placeholders(
    content: bytes, spans: list[tuple[int, int]], placeholder: str = REDACTED
) -> bytes:
    """Return the content with its spans replaced."""
    pieces, at = [], 0
    for begin, end in spans:
        pieces += [content[at:begin], placeholder.encode()]
        at = end
    return b"".join([*pieces, content[at:]])


@lru_cache(maxsize=4)
def _matcher(values: tuple[str, ...]) -> SecretMatcher:
    return SecretMatcher(values)


def redact_shapes(text: str) -> str:
    """Return `text` with whatever has the shape of a key replaced by a placeholder."""
    for hint in _SHAPE_HINTS:  # a loop, for every text of every row passes here
        if hint in text:
            break
    else:
        return text
    for _, pattern in KEY_PATTERNS:
        text = pattern.sub(REDACTED, text)
    return text


@lru_cache(maxsize=1024)
def _forms(value: str) -> tuple[WrittenForm, ...]:
    raw = value.encode("utf-8", "surrogatepass")
    utf_16 = value.encode("utf-16-le", "surrogatepass")
    plain = {raw, value[::-1].encode("utf-8", "surrogatepass"), utf_16}
    plain.add(utf_16.decode("latin-1").encode())
    url, escaped = quote(value, safe=""), json.dumps(value)[1:-1]
    written = {url, quote(url, safe=""), quote_plus(value), escaped, json.dumps(escaped)[1:-1]}
    written |= {json.dumps(value, ensure_ascii=False)[1:-1], raw.hex(), html.escape(value)}
    written |= {raw.hex(" "), raw.hex(":"), " ".join(value)}
    plain |= {text.encode("utf-8", "surrogatepass") for text in written} | _base32_forms(raw)
    forms = [_form(form.lower(), is_any_case=True) for form in plain]
    forms += [
        _form("".join(map(spell, raw)).lower().encode(), is_any_case=True, mark=mark)
        for mark, spell in _SPELLINGS
    ]
    return tuple(forms + [_form(form, is_any_case=False) for form in _base64_forms(raw)])


def _form(whole: bytes, *, is_any_case: bool, mark: bytes = b"") -> WrittenForm:
    size = len(whole)
    probe = whole[size // 4 : size - size // 4] if size >= _MIN_CUT_CHARS else whole
    return WrittenForm(whole, probe, is_any_case, mark)


def _base32_forms(raw: bytes) -> set[bytes]:
    """Base32 of any text around the secret: what its own bytes alone decide, at each offset."""
    forms = set()
    for lead in range(5):
        packed = base64.b32encode(bytes(lead) + raw)
        forms.add(packed[-(-lead * 8 // 5) : (lead + len(raw)) * 8 // 5])
    return {form for form in forms if len(form) >= MIN_CHARS}


def _unpacked(token: bytes) -> bytes:
    """Return what base64 of gzip or zlib holds, as far as it can be read."""
    digits = token.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        packed = binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(packed, _MAX_UNPACKED_BYTES)
    except (binascii.Error, zlib.error):
        return b""


def _base64_forms(raw: bytes) -> set[bytes]:
    """Base64 of any text around the secret: what its own bytes alone decide, at each offset."""
    forms = set()
    for lead in range(3):
        packed = base64.b64encode(bytes(lead) + raw).rstrip(b"=")
        core = packed[-(-lead * 8 // 6) : (lead + len(raw)) * 8 // 6]
        forms |= {core, core.replace(b"+", b"-").replace(b"/", b"_")}
    return {form for form in forms if len(form) >= MIN_CHARS}


def _occurrences(content: bytes, form: WrittenForm) -> Iterator[tuple[int, int]]:
    offset = form.whole.index(form.probe)
    at = content.find(form.probe)
    while at >= 0:
        begin, end = _extended(content, form, at, offset)
        yield begin, end
        at = content.find(form.probe, max(end, at + 1))


def _extended(content: bytes, form: WrittenForm, at: int, offset: int) -> tuple[int, int]:
    """Grow a hit to both sides as far as it agrees with the whole form."""
    begin, first = at, offset
    while begin > 0 and first > 0 and content[begin - 1] == form.whole[first - 1]:
        begin, first = begin - 1, first - 1
    end, last = at + len(form.probe), offset + len(form.probe)
    while end < len(content) and last < len(form.whole) and content[end] == form.whole[last]:
        end, last = end + 1, last + 1
    return begin, end


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
