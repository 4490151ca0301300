"""Headers of a provider: sixty bad ones, which are secret, and a mapping that prints none."""

from __future__ import annotations

import json

import pytest

from toolkit.errors import InvalidProvider, KeyRequired
from toolkit.providers.headers import Headers, check_headers, is_secret
from toolkit.providers.provider import Provider
from toolkit.secret import Secret

BAD_NAMES = [
    "", " ", "X Y", "X:Y", "X\r\nY", "X\n", "X\0", "Xä", "X\t", "X,Y", "X;Y", "X(Y)", "X/Y", "X@Y",
    "X[Y]", 'X"Y', "X{Y}", "X\\Y", "X=Y", "X?Y", "X<Y>", "x" * 129, None, 7, b"X",
    "Host", "host", "HOST", "Authorization", "authorization", "Content-Length",
    "content-length", "Transfer-Encoding", "Connection", "Keep-Alive", "TE", "Trailer", "Upgrade",
    "Cookie", "Set-Cookie", "Content-Type", "Content-Encoding", "Accept-Encoding", "Expect", "Via",
    "Forwarded", "Proxy-Authorization", "Proxy-Connection", "x-api-key", "X-Goog-Api-Key",
    "api-key",
]  # fmt: skip
BAD_VALUES = [
    "", " ", " a", "a ", "a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b", "ä", "日本", "\u202ea", "a\x7f",
    "a\x1b[0m", "x" * 4097, "x" * 1_000_000, None, 7, b"a", ["a"],
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_of_a_header_is_refused(name):
    with pytest.raises(InvalidProvider) as refused:
        check_headers({name: "value"})
    assert refused.value.message.isprintable()


@pytest.mark.parametrize("value", BAD_VALUES)
def test_a_bad_value_of_a_header_is_refused_and_not_repeated(value):
    with pytest.raises(InvalidProvider) as refused:
        check_headers({"X-Team": value})
    assert "Evil" not in str(refused.value)
    assert len(refused.value.message) < 200


def test_there_are_sixty_bad_headers():
    assert len(BAD_NAMES) + len(BAD_VALUES) >= 60


def test_too_many_headers_and_the_same_twice():
    with pytest.raises(InvalidProvider):
        check_headers({f"X-{n}": "1" for n in range(33)})
    with pytest.raises(InvalidProvider):
        check_headers({"X-Team": "1", "x-team": "2"})
    with pytest.raises(InvalidProvider):
        check_headers(["X-Team"])


def test_good_headers_are_kept():
    headers = {
        "OpenAI-Organization": "org-1",
        "X-Title": "my app, v1",
        "HTTP-Referer": "https://x.y",
    }
    assert check_headers(headers) == headers


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("X-Auth-Token", "abc", True),
        ("CF-Access-Client-Secret", "abc", True),
        ("Ocp-Apim-Subscription-Key", "abc", True),
        ("X-Team", "sk-" + "x" * 40, True),
        ("X-Session", "abc", True),
        ("X-Team", "blue", False),
        ("X-Keyboard", "qwerty", False),
        ("X-Tokens-Used", "3", False),
    ],
)
def test_secret_headers_are_known_by_name_or_look(name, value, secret):
    assert is_secret(name, value) is secret


def test_a_secret_header_can_be_sent_but_never_seen():
    value = "t0p-" + "s" * 30
    headers = Headers({"X-Team": "blue"}, ("X-Auth-Token",), lambda _: Secret(value))
    provider = Provider(name="corp", headers=headers, secret_headers=("X-Auth-Token",))
    assert dict(headers) == {"X-Team": "blue", "X-Auth-Token": value}
    for shown in (repr(headers), str(headers), repr(provider), json.dumps(provider.as_dict())):
        assert value not in shown
    assert value not in repr(provider.as_row())


def test_a_secret_header_that_is_nowhere_says_so():
    headers = Headers({}, ("X-Auth-Token",), lambda _: None)
    with pytest.raises(KeyRequired) as missing:
        dict(headers)
    assert "X-Auth-Token" in missing.value.message
