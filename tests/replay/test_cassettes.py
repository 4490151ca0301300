"""The project's own cassettes: whole, clean, all played, with every connection refused."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import vcr
from vcr.persisters.filesystem import FilesystemPersister
from vcr.serializers import yamlserializer

from toolkit.replay.cassettes.cassette_file import read_cassette
from toolkit.replay.cassettes.cassette_lint import find_cassettes, lint_cassettes
from toolkit.replay.cassettes.scrub import Scrubber
from toolkit.replay.regression.case_runner import find_unused
from toolkit.replay.regression.suite import FILE_NAME, load_suite
from toolkit.replay.regression.suite_run import run_regression
from toolkit.toolkit import current

FOLDER = Path(__file__).resolve().parents[2] / "cassettes"
SUITES = sorted(path.parent for path in FOLDER.rglob(FILE_NAME))
CASSETTES = find_cassettes(FOLDER)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: Any) -> None:
        raise OSError(f"a replay connected to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


def test_there_are_cassettes_of_the_paths_of_a_call():
    names = {path.stem for path in CASSETTES}
    assert {"whole", "stream", "conversation", "tool-offered", "json", "too-long"} <= names


@pytest.mark.parametrize("folder", SUITES, ids=lambda folder: folder.name)
def test_every_suite_passes_as_accepted_and_plays_all_it_holds(folder, no_network):
    suite = load_suite(folder)
    run = run_regression(current(), suite)
    assert {v.run.case.name: v.verdict for v in run.verdicts} == {
        case.name: "pass" for case in suite.cases
    }, [verdict.reason for verdict in run.verdicts]
    assert run.passed
    assert not any(verdict.run.unplayed for verdict in run.verdicts)


def test_lint_finds_nothing_wrong(no_network):
    findings = lint_cassettes(FOLDER, Scrubber(), max_age_days=float("inf"))
    findings += find_unused(current(), FOLDER)
    assert not findings


@pytest.mark.parametrize("path", CASSETTES, ids=lambda path: path.stem)
def test_plain_vcrpy_reads_the_file(path):
    requests, responses, metadata = FilesystemPersister.load_cassette(path, yamlserializer)
    content = read_cassette(path)
    assert len(requests) == len(responses) == len(content.exchanges) > 0
    assert responses[0]["body"]["string"] == content.exchanges[0].body
    assert metadata["litellm_version"]
    assert vcr.request.Request is type(requests[0])


@pytest.mark.parametrize("path", CASSETTES, ids=lambda path: path.stem)
def test_every_recording_is_of_a_real_server(path):
    """Real servers stamp their answers; times were measured and lie in order."""
    content = read_cassette(path)
    for exchange in content.exchanges:
        assert exchange.headers_ms > 0
        times = [chunk.at_ms for chunk in exchange.chunks]
        assert times == sorted(times)
        assert "rebuilt_from" not in content.metadata
