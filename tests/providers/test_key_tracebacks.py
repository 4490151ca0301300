"""A traceback that shows local variables shows no key that was given to a registry."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable

import pytest

import toolkit as tk
from tests.servers import Answer, MockProvider
from toolkit.errors import ToolkitError

KEY = "sk-given-" + "g" * 32
HEADER = {"X-Secret-Token": "hidden-" + "h" * 24}
SECRETS = (KEY, HEADER["X-Secret-Token"])
BODY = b'{"error": {"message": "Incorrect API key provided"}}'


@pytest.fixture
def url():
    with MockProvider(Answer(status=401, body=BODY)) as server:
        yield server.base_url


def shown(error: BaseException) -> list[str]:
    """The frames of ours, and of the libraries below, with their variables."""
    printed = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = "".join(printed.format()).split("\n  File ")
    return [frame for frame in frames if "test_key_tracebacks" not in frame.splitlines()[0]]


def atest(url: str) -> None:
    tk.providers.add("mock", base_url=url, local=True, test=False)
    asyncio.run(tk.providers.atest("mock", api_key=KEY, base_url="http://[nonsense"))


def rotate(url: str) -> None:
    tk.providers.add("mock", base_url=url, local=True, test=False)
    tk.providers.rotate_key("mock", KEY)


CALLS: list[Callable[[str], object]] = [
    lambda url: tk.providers.add("mock", base_url=url, local=True, api_key=KEY, headers=HEADER),
    lambda url: tk.providers.add("Mock!", base_url=url, api_key=KEY, headers=HEADER),
    lambda url: tk.providers.add("mock", base_url="nonsense", api_key=KEY, headers=HEADER),
    lambda url: tk.providers.add("mock", base_url=url, headers={**HEADER, "Host": KEY}),
    lambda url: tk.providers.add("mock", base_url=url, headers={"X-Token": KEY + "\n"}),
    lambda url: tk.providers.update("nowhere", api_key=KEY, headers=HEADER),
    lambda url: tk.keys.set("nowhere", KEY),
    lambda url: tk.keys.set("openai", KEY + " and words"),
    lambda url: tk.keys.rotate("nowhere", KEY),
    lambda url: tk.keys.set_header("nowhere", "X-Secret-Token", KEY),
    lambda url: tk.providers.transfer.preview(b"not json", passphrase=KEY),
    atest,
    rotate,
]


@pytest.mark.parametrize("call", CALLS)
def test_no_frame_shows_a_key_that_was_given(url, call):
    with pytest.raises((ToolkitError, TypeError)) as failed:
        call(url)
    frames = shown(failed.value)
    assert not [frame for frame in frames if any(secret in frame for secret in SECRETS)]
    assert not any(secret in str(failed.value) for secret in SECRETS)


def test_an_error_of_a_library_below_shows_none_either(url, monkeypatch):
    def broken(secret: str) -> None:
        held = f"as bytes {secret}"
        raise RuntimeError(f"the keyring has failed, {len(held)}")

    def write(*given: object, **named: object) -> None:
        try:
            broken(KEY)
        except RuntimeError as error:
            raise OSError("cannot be written") from error

    tk.providers.add("mock", base_url=url, local=True, test=False)
    monkeypatch.setattr(type(tk.keys.stores), "put", write)
    with pytest.raises(OSError, match="cannot be written") as failed:
        tk.keys.set("mock", KEY, check=False)
    printed = traceback.TracebackException.from_exception(failed.value, capture_locals=True)
    frames = "".join(printed.format()).split("\n  File ")
    below = [
        f for f in frames if "in broken" in f.splitlines()[0] or "in write" in f.splitlines()[0]
    ]
    assert below and not [frame for frame in below if KEY in frame.replace("KEY", "")]
