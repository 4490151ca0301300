"""Remove credentials and account ids, and their echoes, from what is written to a cassette.

Headers pass an allow-list, addresses lose userinfo and credential parameters, and all text is
searched for known secrets in every encoding and for key patterns.
`Scrubber.find_leaks` is the final check: text in which it finds something is not written.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from toolkit.secret import KEY_PATTERNS, Secret, SecretMatcher, encodings

MARK: Final = "***"
"""Replaces a secret; shorter than any key pattern, so that it never matches one."""

_MIN_SECRET: Final = 6
_MIN_BASE64_CORE: Final = 8

_KEPT_REQUEST_HEADERS: Final = frozenset(
    {"accept", "content-type", "anthropic-version", "anthropic-beta", "openai-beta"}
)
_KEPT_ANSWER_HEADERS: Final = frozenset(
    {"content-type", "retry-after", "retry-after-ms", "x-should-retry", "location"}
)
_KEPT_ANSWER_PREFIXES: Final = ("x-ratelimit-", "anthropic-ratelimit-")
_CREDENTIAL_HEADERS: Final = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"}
)
_CREDENTIAL_PARAMETERS: Final = frozenset(
    {"key", "api_key", "api-key", "apikey", "token", "sig", "signature", "access_token", "code"}
)

_ACCOUNT = re.compile(r"\b(?:org|proj|acct|user)[-_](?=[A-Za-z]*\d)[A-Za-z0-9]{12,}\b")
_ACCOUNT_FIELD = re.compile(
    r'"(?:organization|organization_id|org_id|account_id|user_id)"\s*:\s*"(?P<id>[^"\\]{1,200})"'
)
_PATTERNS: Final = (*KEY_PATTERNS, ("account", _ACCOUNT))


class Scrubber:
    """Removes secrets from everything that is written to a cassette.

    Args:
        secrets: known keys; they are found in all forms of `SecretMatcher`, and in some more that
            only cassettes have.

    Credentials in the headers or URL of a request are added, so that they are also removed from
    answers that echo them.
    """

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._forms: set[str] = set()
        self._known: re.Pattern[str] | None = None
        self._values: dict[str, None] = {}
        self._matcher = SecretMatcher(())
        self._learn(secret.reveal() for secret in secrets)

    def _learn(self, values: Iterable[str]) -> None:
        before = len(self._forms)
        for value in values:
            if len(value) >= _MIN_SECRET and value != MARK:
                self._values[value] = None
                self._forms.update(written_forms(value))
                self._forms.update(_as_bytes_show(form) for form in written_forms(value))
        if len(self._forms) != before:
            longest_first = sorted(self._forms, key=len, reverse=True)
            self._known = re.compile("|".join(map(re.escape, longest_first)))
            self._matcher = SecretMatcher(self._values)

    def learn_from(self, uri: str, headers: Mapping[str, str]) -> None:
        """Remember the credentials that a request carries."""
        found = [v for name, v in headers.items() if name.lower() in _CREDENTIAL_HEADERS]
        self._learn(part for value in found for part in _credentials_of(value))
        parts = urlsplit(uri)
        userinfo = [part for part in (parts.password, parts.username) if part]
        self._learn([*userinfo, *map(unquote, userinfo)])
        pairs = parse_qsl(parts.query)
        self._learn(value for name, value in pairs if name.lower() in _CREDENTIAL_PARAMETERS)

    def scrub_text(self, text: str) -> str:
        """`text` without known secrets, key shapes and account ids. Idempotent."""
        for pattern in self._patterns():
            text = pattern.sub(MARK, text)
        return self._matcher.redact(text, MARK)

    def scrub_body(self, body: bytes, *, is_error: bool = False) -> bytes:
        """A body without secrets; account fields of errors are removed as well."""
        return self.scrub_chunks((body,), is_error=is_error)[0]

    def scrub_chunks(
        self, chunks: Sequence[bytes], *, is_error: bool = False
    ) -> tuple[bytes, list[int]]:
        """The scrubbed body of all chunks, and the size of each chunk within it.

        The body is searched as a whole, so a secret split over two chunks is found.
        """
        # One character per byte keeps the boundaries independent of the encoding.
        text = b"".join(chunks).decode("latin-1")
        ends = list(accumulate(len(chunk) for chunk in chunks))
        for pattern in (*self._patterns(), *((_ACCOUNT_FIELD,) if is_error else ())):
            group = "id" if "id" in pattern.groupindex else 0
            spans = [match.span(group) for match in pattern.finditer(text)]
            text, ends = _replace(spans, text, ends)
        text, ends = _replace(self._matcher.spans(text.encode("latin-1")), text, ends)
        sizes = [end - start for start, end in pairwise([0, *ends])]
        return text.encode("latin-1"), sizes

    def _patterns(self) -> Iterator[re.Pattern[str]]:
        if self._known is not None:
            yield self._known
        for _, pattern in _PATTERNS:
            yield pattern

    def scrub_uri(self, uri: str) -> str:
        """An address without userinfo and without credential parameters."""
        parts = urlsplit(uri)
        host = parts.netloc.rpartition("@")[2]
        query = parts.query
        if query:
            pairs = parse_qsl(query, keep_blank_values=True)
            kept = [(k, v) for k, v in pairs if k.lower() not in _CREDENTIAL_PARAMETERS]
            if len(kept) != len(pairs):
                query = urlencode(kept)
        return self.scrub_text(urlunsplit((parts.scheme, host, parts.path, query, "")))

    def scrub_request_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The request headers that affect the answer, in lower case."""
        kept = {k.lower(): v for k, v in headers.items() if k.lower() in _KEPT_REQUEST_HEADERS}
        return {name: self.scrub_text(value) for name, value in sorted(kept.items())}

    def scrub_answer_headers(self, headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
        """The response headers that affect clients, in lower case."""
        kept: dict[str, list[str]] = {}
        for name, value in headers:
            name = name.lower()
            if name in _KEPT_ANSWER_HEADERS or name.startswith(_KEPT_ANSWER_PREFIXES):
                clean = self.scrub_uri(value) if name == "location" else self.scrub_text(value)
                kept.setdefault(name, []).append(clean)
        return dict(sorted(kept.items()))

    def find_leaks(self, text: str) -> list[str]:
        """Names of secrets found in `text` (empty if there are none)."""
        leaks = set()
        is_known = self._known is not None and self._known.search(text)
        if is_known or self._matcher.spans(text.encode("utf-8", "surrogatepass")):
            leaks.add("known key")
        leaks.update(name for name, pattern in _PATTERNS if pattern.search(text))
        return sorted(leaks)


def written_forms(value: str) -> set[str]:
    """The encodings of a secret: raw, URL-encoded, JSON-escaped once and twice, base64.

    Base64 of a text that merely contains the secret (`Basic` credentials) depends on the preceding
    bytes, so the middle parts of all three alignments are included.
    """
    forms = set(encodings(value))
    percent = quote(value, safe="")
    forms |= {re.sub(r"%[0-9A-F]{2}", lambda m: m[0].lower(), percent), json.dumps(percent)[1:-1]}
    forms.add(json.dumps(json.dumps(value)[1:-1])[1:-1])
    raw = value.encode("utf-8", "surrogatepass")
    for pad in range(3):
        first, last = -(-pad * 8 // 6), (pad + len(raw)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            core = encode(b"\0" * pad + raw).decode()[first:last]
            if len(core) >= _MIN_BASE64_CORE:
                forms.add(core)
    return {form for form in forms if form}


def _as_bytes_show(form: str) -> str:
    """An encoding as it appears in a body that is decoded one character per byte."""
    return form.encode("utf-8", "surrogatepass").decode("latin-1")


def _credentials_of(header: str) -> list[str]:
    """The secret parts of a credential header: without its scheme, and inside `Basic`."""
    parts = [header.partition(" ")[2] or header]
    if header[:6].lower() == "basic ":
        try:
            decoded = base64.b64decode(parts[0], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return parts
        parts += [decoded, *decoded.split(":", 1)]
    return parts


def _replace(
    spans: Iterable[tuple[int, int]], text: str, ends: list[int]
) -> tuple[str, list[int]]:
    """Replace each span by the mark; boundaries inside a span move to its end."""
    pieces: list[str] = []
    moved = list(ends)
    done, shift, at = 0, 0, 0
    for start, end in spans:
        while at < len(ends) and ends[at] <= start:
            moved[at] = ends[at] + shift
            at += 1
        pieces += text[done:start], MARK
        shift += len(MARK) - (end - start)
        while at < len(ends) and ends[at] <= end:
            moved[at] = end + shift
            at += 1
        done = end
    if not pieces:
        return text, ends
    moved[at:] = [end + shift for end in ends[at:]]
    return "".join((*pieces, text[done:])), moved
