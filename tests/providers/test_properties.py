"""Names, URLs, headers and import files under generated input: an answer or a clear refusal."""

from __future__ import annotations

import json
import string
import tomllib
from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import urlsplit

from hypothesis import given, settings
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


def test_any_import_file(registry):
    @fast
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


# ---- five thousand of each ----------------------------------------------------------------------
# Drawn by plain random numbers: Hypothesis takes 10 ms of a core to make an example like these,
# and what it does better, to find a small failing example, is done by the tests above.

_LETTERS = (
    string.ascii_letters + string.digits + "-_.: \t\r\n\0/\\é\u0430\uff05\u2028\U0001f600\ud800"
)
HOSTS = ("example.com", "localhost:8080", "10.1.2.3", "[::1]:443", "169.254.169.254", "пример.рф")
_TOKEN = string.ascii_letters + string.digits + "-"


def _text(rng: Random, letters: str, most: int) -> str:
    return "".join(rng.choices(letters, k=rng.randrange(most + 1)))


def _name(rng: Random) -> str:
    letters = rng.choice((string.ascii_lowercase + string.digits + "-", _LETTERS))
    return _text(rng, letters, 70)


def _url(rng: Random) -> str:
    pieces = "".join(rng.choices(PIECES, k=rng.randrange(13)))
    path = "/".join(rng.choices(("v1", "api", "..", "a b", "%2f", "а"), k=rng.randrange(4)))
    near_good = f"{rng.choice(('https', 'http'))}://{rng.choice(HOSTS)}/{path}"
    return rng.choice((pieces, "https://" + pieces, near_good, _text(rng, _LETTERS, 40)))


def _headers(rng: Random) -> dict[str, str]:
    names, values = rng.choice(((_TOKEN, string.printable[:95]), (_LETTERS, _LETTERS)))
    return {_text(rng, names, 20): _text(rng, values, 40) for _ in range(rng.randrange(6))}


def _scalar(rng: Random) -> Any:
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: None,
        lambda: rng.random() < 0.5,
        lambda: rng.randrange(-9, 10**9),
        lambda: _text(rng, _LETTERS, 8),
        lambda: _url(rng),
    )
    return rng.choice(kinds)()


def _value(rng: Random) -> Any:
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: _scalar(rng),
        lambda: [_scalar(rng) for _ in range(rng.randrange(4))],
        lambda: {_text(rng, _LETTERS, 6): _scalar(rng) for _ in range(rng.randrange(3))},
    )
    return rng.choice(kinds)()


def _providers(rng: Random) -> dict[str, Any]:
    names = rng.sample(["corp", "groq", "a-1", "A", ""], k=rng.randrange(3))
    good = {"base_url": "https://llm.corp.example/v1"}
    return {
        name: good | {rng.choice(FIELDS): _value(rng) for _ in range(rng.randrange(3))}
        for name in names
    }


def test_five_thousand_names():
    for seed in range(5000):
        name_is_judged(_name(Random(seed)))


def test_five_thousand_urls():
    for seed in range(5000):
        rng = Random(seed)
        url_is_judged(_url(rng), local=rng.random() < 0.5)


def test_five_thousand_headers():
    for seed in range(5000):
        headers_are_judged(_headers(Random(seed)))


def test_five_thousand_import_files(registry):
    for seed in range(5000):
        document_is_judged(_providers(Random(seed)), registry)


def test_what_is_drawn_is_both_accepted_and_refused(registry):
    """Five thousand refusals would prove little."""
    checks: list[Callable[[Random], object]] = [
        lambda rng: check_name(_name(rng)),
        lambda rng: check_base_url(_url(rng), True),
        lambda rng: check_headers(_headers(rng)),
        lambda rng: registry.draft("corp", _providers(rng).get("corp") or {}),
    ]
    for check in checks:
        refused = 0
        for seed in range(500):
            try:
                check(Random(seed))
            except (InvalidProvider, InvalidInput):
                refused += 1
        assert 20 < refused < 480, refused
