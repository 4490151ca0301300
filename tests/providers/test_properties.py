"""Names, URLs, headers and import files under generated input: an answer or a clear refusal."""

from __future__ import annotations

import json
import tomllib
from urllib.parse import urlsplit

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit.errors import InvalidInput, InvalidProvider
from toolkit.providers.base_url import check_base_url
from toolkit.providers.headers import check_headers
from toolkit.providers.naming import check_name
from toolkit.providers.provider import origin_of
from toolkit.providers.registry import Registry
from toolkit.providers.transfer import read_document, write_plain
from toolkit.providers.transfer_service import plan_import

PIECES = [
    "https", "http", "file", "://", ":", "/", "//", "\\", "@", "#", "?", "%", "..", ".", "[",
    "]", "127.0.0.1", "169.254.169.254", "::1", "::ffff:1.2.3.4", "0x7f", "localhost",
    "example.com", "api.", "user", "443", "22", "99999", "\r\n", "\t", "\0", "а", "％", " ",
    "v1", "-", "_",
]  # fmt: skip
URLS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: "https://" + "".join(pieces)),
    st.text(max_size=40),
)
SCALARS = st.none() | st.booleans() | st.integers(-9, 10**9) | st.text(max_size=8) | URLS
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=6), SCALARS)
FIELDS = [
    "base_url", "type", "headers", "params", "rpm", "key_env", "key_origin", "is_local",
    "source", "display_name", "secret_headers", "timeout_s", "deactivated_at", "key_url",
    "x",
]  # fmt: skip
GOOD_URL = st.just({"base_url": "https://llm.corp.example/v1"})
OTHER_FIELDS = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=2)
ENTRIES = st.builds(lambda url, rest: {**url, **rest}, GOOD_URL, OTHER_FIELDS)
DOCUMENTS = st.dictionaries(st.sampled_from(["corp", "groq", "a-1", "A", ""]), ENTRIES, max_size=2)


def name_is_judged(name: str) -> None:
    try:
        assert check_name(name) == name
    except InvalidProvider as refused:
        assert refused.message.isprintable()
        return
    assert 1 <= len(name) <= 63
    assert name.isascii() and name == name.lower()
    assert tomllib.loads(f"[providers.{name}]\n") == {"providers": {name: {}}}


def url_is_judged(url: str, local: bool) -> None:
    try:
        address = check_base_url(url, local)
    except InvalidProvider as refused:
        assert refused.cause
        return
    parts = urlsplit(address.url)
    assert address.url.isascii() and address.url.isprintable()
    assert parts.scheme == "https" or local
    assert "@" not in parts.netloc and not parts.query and not parts.fragment
    assert (parts.hostname or "") == address.host
    assert origin_of(address.url).startswith(f"{address.scheme}://")
    assert check_base_url(address.url, local) == address


def headers_are_judged(headers: dict[str, str]) -> None:
    try:
        checked = check_headers(headers)
    except InvalidProvider:
        return
    for name, value in checked.items():
        line = f"{name}: {value}"
        assert line.isascii() and "\r" not in line and "\n" not in line and "\0" not in line
        assert ":" not in name and " " not in name


def document_is_judged(providers: dict, registry: Registry) -> None:
    raw = json.dumps({"format": "toolkit-providers", "version": 1, "providers": providers}).encode()
    try:
        plan = plan_import(read_document(raw), registry, "replace")
    except InvalidInput:
        return
    assert [row.name for row in plan.rows] == list(providers)
    for name, values in plan.entries.items():
        built = registry.draft(name, values)
        assert built.key_origin is None or built.key_origin == built.origin
        again = read_document(write_plain([built]).encode())
        assert not plan_import(again, registry, "replace").refused


fast = settings(max_examples=200)
thorough = settings(max_examples=5000, suppress_health_check=list(HealthCheck), database=None)
NAMES = st.text(max_size=70) | st.from_regex(r"[a-z0-9-]{0,70}", fullmatch=True)
HEADERS = st.dictionaries(
    st.text(max_size=20) | st.from_regex(r"[A-Za-z-]{1,12}", fullmatch=True),
    st.text(max_size=40) | st.from_regex(r"[ -~]{0,40}", fullmatch=True),
    max_size=5,
)


@fast
@given(NAMES)
def test_any_name(name):
    name_is_judged(name)


@fast
@given(URLS, st.booleans())
def test_any_url(url, local):
    url_is_judged(url, local)


@fast
@given(HEADERS)
def test_any_headers(headers):
    headers_are_judged(headers)


@thorough
@given(NAMES)
def test_five_thousand_names(name):
    name_is_judged(name)


@thorough
@given(URLS, st.booleans())
def test_five_thousand_urls(url, local):
    url_is_judged(url, local)


@thorough
@given(HEADERS)
def test_five_thousand_headers(headers):
    headers_are_judged(headers)


def test_any_import_file(registry):
    @fast
    @given(DOCUMENTS)
    def judge(providers):
        document_is_judged(providers, registry)

    judge()


def test_five_thousand_import_files(registry):
    @thorough
    @given(DOCUMENTS)
    def judge(providers):
        document_is_judged(providers, registry)

    judge()


@fast
@given(st.binary(max_size=400))
def test_any_bytes_are_a_document_or_refused(raw):
    try:
        read_document(raw)
    except InvalidInput as refused:
        assert refused.cause == "import"
