"""pytest plugin: the fixture and marker `cassette`, offline unless you ask to record.

    @pytest.mark.cassette("greeting/hello")      # without a name: folder/module/class/test
    def test_hello(cassette):
        assert "Hello" in tk.complete("openai/gpt-5-mini", "Say hello").text

`pytest` replays and never connects; `pytest --cassettes=record` records again, `--cassettes=auto`
records what is missing. A test that passes but leaves recorded exchanges unplayed fails.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from toolkit.replay.cassettes.open_cassette import OpenCassette

_MODES = ("replay", "record", "auto")
_ODD = re.compile(r"[^A-Za-z0-9._-]+")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--cassettes`."""
    parser.getgroup("toolkit").addoption(
        "--cassettes",
        choices=_MODES,
        default="replay",
        help="replay cassettes (the default), record them again, or record missing ones (auto)",
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
    """Give marked tests the fixture."""
    for item in items:
        names = getattr(item, "fixturenames", None)
        if names is not None and item.get_closest_marker("cassette") and "cassette" not in names:
            names.append("cassette")


@pytest.fixture(scope="session")
def cassette_folder(pytestconfig: pytest.Config) -> Path:
    """The folder of cassettes; override it in a conftest."""
    return pytestconfig.rootpath / "cassettes"


@pytest.fixture
def cassette_secrets() -> Any:
    """Keys that must not be written; None: every key the toolkit knows. Override it if needed."""
    return None


@pytest.fixture
def cassette_allowed_hosts() -> Collection[str]:
    """Hosts (`name` or `name:port`) that a test may connect to in replay. Override it if needed."""
    return ()


@pytest.fixture
def cassette(
    request: pytest.FixtureRequest,
    cassette_folder: Path,
    cassette_secrets: Any,
    cassette_allowed_hosts: Collection[str],
) -> Iterator[OpenCassette]:
    """The test's own cassette, open while the test runs."""
    from toolkit.replay.cassettes.cassette_path import cassette_path
    from toolkit.replay.cassettes.open_cassette import OpenCassette

    marker = request.node.get_closest_marker("cassette")
    is_named = marker is not None and marker.args
    name = marker.args[0] if is_named else _find_name(request, cassette_folder)
    opened = OpenCassette(
        cassette_path(name, cassette_folder),
        name=name,
        mode=request.config.getoption("--cassettes"),
        secrets=cassette_secrets,
        allow_hosts=cassette_allowed_hosts,
        record_hint="Record it with `pytest --cassettes=record`.",
    )
    with _reported(), opened:
        if opened.mode == "record":
            _reserve(request, opened)
        yield opened
        if _has_failed(request):
            opened.discard()
    allowed = marker is not None and marker.kwargs.get("allow_unplayed", False)
    if opened.mode == "replay" and not allowed and not _has_failed(request) and opened.unplayed:
        left = "\n".join(f"  {exchange.method} {exchange.uri}" for exchange in opened.unplayed)
        pytest.fail(
            f"the cassette {name} holds calls that the test did not make:\n{left}", pytrace=False
        )


@contextmanager
def _reported() -> Iterator[None]:
    """Report a problem with a cassette in one sentence, without a traceback."""
    from toolkit.errors import CassetteError

    try:
        yield
    except CassetteError as error:
        pytest.fail(f"{error.message}. {error.hint}".strip(), pytrace=False)


def _find_name(request: pytest.FixtureRequest, folder: Path) -> str:
    """The name derived from the test; in replay the older name if only that file exists.

    Until version 0.2 a name was `<module>/<test>`, without folder and class.
    """
    name = _name_of(request)
    if request.config.getoption("--cassettes") != "record":
        old = "/".join(_clean(part) for part in (request.node.path.stem, request.node.name))
        if not (folder / f"{name}.yaml").exists() and (folder / f"{old}.yaml").exists():
            return old
    return name


def _name_of(request: pytest.FixtureRequest) -> str:
    """`<folder>/<module>/<class>/<test>`, with a test's parameters in it."""
    node = request.node
    path = node.path.with_suffix("")
    root = request.config.rootpath
    folders = path.relative_to(root).parts if path.is_relative_to(root) else (path.name,)
    classes = [part.name for part in node.listchain() if isinstance(part, pytest.Class)]
    return "/".join(_distinct(part) for part in (*folders, *classes, node.name))


def _clean(part: str) -> str:
    return _ODD.sub("-", part).strip("-._")[:100]


def _distinct(part: str) -> str:
    """A valid part of a file name; with a short hash if more than brackets was removed."""
    clean = _clean(part)
    if part.replace("[", "-").rstrip("]") == clean:
        return clean
    return f"{clean[:80]}-{hashlib.sha256(part.encode()).hexdigest()[:8]}".lstrip("-._")


_RECORDED = pytest.StashKey[dict[str, str]]()


def _reserve(request: pytest.FixtureRequest, opened: OpenCassette) -> None:
    """Refuse to record a name that another test of this session has recorded."""
    test = request.node.nodeid
    recorded = request.config.stash.setdefault(_RECORDED, {})
    other = recorded.setdefault(str(opened.path), test)
    if other == test:
        other = _reserve_among_workers(opened.path, test)
    if other != test:
        opened.discard()
        pytest.fail(
            f"the cassette {opened.name} was recorded by {other} already: the second recording "
            "would replace the first. Give each test its own name.",
            pytrace=False,
        )


def _reserve_among_workers(path: Path, test: str) -> str:
    """The test that has the name among all processes of pytest-xdist."""
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if session is None:
        return test
    folder = Path(tempfile.gettempdir()) / f"toolkit-cassettes-{session}"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / hashlib.sha256(str(path).encode()).hexdigest()
    try:
        with file.open("x", encoding="utf-8") as created:
            created.write(test)
    except FileExistsError:
        return file.read_text("utf-8")
    return test


_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Store whether the test failed: then unplayed calls are not reported."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.when == "call":
        item.stash[_FAILED] = report.failed


def _has_failed(request: pytest.FixtureRequest) -> bool:
    return bool(request.node.stash.get(_FAILED, False))
