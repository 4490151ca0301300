"""pytest plugin: the fixture and marker `cassette`, offline unless you ask to record.

    @pytest.mark.cassette("greeting/hello")      # or without a name: made of the test's own
    def test_hello(cassette):
        assert "Hello" in tk.complete("openai/gpt-5-mini", "Say hello").text

`pytest` plays and never calls out; `pytest --cassettes=record` records anew, `--cassettes=auto`
records what is missing. A test that passes but leaves recorded exchanges unplayed fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from toolkit.replay.cassettes.cassette import OpenCassette

_MODES = ("replay", "record", "auto")
_ODD = re.compile(r"[^A-Za-z0-9._-]+")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--cassettes`."""
    parser.getgroup("toolkit").addoption(
        "--cassettes",
        choices=_MODES,
        default="replay",
        help="play cassettes (replay, the default), record them anew, or record the missing (auto)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "cassette(name=None, *, allow_unplayed=False): play the HTTP calls of the test from "
        "a cassette",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A marked test gets the fixture, whether it names it or not."""
    for item in items:
        names = getattr(item, "fixturenames", None)
        if names is not None and item.get_closest_marker("cassette") and "cassette" not in names:
            names.append("cassette")


@pytest.fixture(scope="session")
def cassette_folder(pytestconfig: pytest.Config) -> Path:
    """Where cassettes lie; override it in a conftest."""
    return pytestconfig.rootpath / "cassettes"


@pytest.fixture
def cassette_secrets() -> Any:
    """Keys that must not be written; None: every key the toolkit knows. Override it at will."""
    return None


@pytest.fixture
def cassette(
    request: pytest.FixtureRequest, cassette_folder: Path, cassette_secrets: Any
) -> Iterator[OpenCassette]:
    """The test's own cassette, open while the test runs."""
    from toolkit.replay.cassettes.cassette import cassette as open_cassette

    marker = request.node.get_closest_marker("cassette")
    name = marker.args[0] if marker is not None and marker.args else _name_of(request)
    mode = request.config.getoption("--cassettes")
    with open_cassette(name, mode=mode, folder=cassette_folder, secrets=cassette_secrets) as opened:
        yield opened
        if _has_failed(request):
            opened.discard()
    allowed = marker is not None and marker.kwargs.get("allow_unplayed", False)
    if opened.mode == "replay" and not allowed and not _has_failed(request) and opened.unplayed:
        left = "\n".join(f"  {exchange.method} {exchange.uri}" for exchange in opened.unplayed)
        pytest.fail(f"the cassette {name} holds calls that nobody made:\n{left}", pytrace=False)


def _name_of(request: pytest.FixtureRequest) -> str:
    """`<module>/<test>`, with a test's parameters in it."""
    parts = (request.node.path.stem, request.node.name)
    return "/".join(_ODD.sub("-", part).strip("-._")[:100] for part in parts)


_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Remember whether the test itself failed: then unplayed calls are no news."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.when == "call":
        item.stash[_FAILED] = report.failed


def _has_failed(request: pytest.FixtureRequest) -> bool:
    return bool(request.node.stash.get(_FAILED, False))
