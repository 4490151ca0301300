"""Every recorded answer, asked for through the whole toolkit, means what its body says.

`reading.py` is the judge. `pytest tests/corpus -m slow -s` prints the table by provider.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import toolkit as tk
from tests.corpus.asking import USAGE, Asker, Tally, compare
from tests.corpus.interactions import FOLDER, Case, cases, interactions, why_not_asked
from tests.corpus.reading import read
from tests.corpus.replay_server import ReplayServer
from toolkit.errors import ToolkitError
from toolkit.records import Reply, ToolCall

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the recorded traffic is not here")
# Each part by itself is done in time on a busy machine.
PARTS = 12
NOT_ASKED = Path(__file__).with_name("not_asked.toml")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ReplayServer]:
    monkeypatch.setenv("TOOLKIT_MAX_RETRIES", "0")
    monkeypatch.setenv("TOOLKIT_TOTAL_TIMEOUT_S", "30")
    with ReplayServer() as running:
        yield running


def test_a_sample_means_what_it_says(server: ReplayServer) -> None:
    asker, tally = Asker(server), Tally()
    for case in list(cases())[::25]:
        tally.add(asker.ask(case))
    assert not tally.wrong, f"\n{tally}"
    assert tally.asked.total() >= 35


@pytest.mark.parametrize("part", range(PARTS))
def test_every_answer_means_what_it_says(server: ReplayServer, part: int) -> None:
    asker, tally = Asker(server), Tally()
    for case in list(cases())[part::PARTS]:
        tally.add(asker.ask(case))
    print(f"\n{tally}")
    if part == 0:
        print("  not asked:")
        for entry in tomllib.loads(NOT_ASKED.read_text())["left_out"]:
            print(f"  {len(entry['ids']):4} {entry['reason']}")
    assert tally.asked.total() > 50
    assert not tally.wrong, f"\n{tally}"
    rows = tk.sql("SELECT count(*) AS n, count(DISTINCT call_id) AS ids FROM calls")
    assert rows.n[0] == rows.ids[0] == tally.asked.total(), "each request has its one row"


def test_nothing_is_left_out_in_silence() -> None:
    """`not_asked.toml` names every interaction that is not asked for, with the same reason."""
    listed = {
        name: entry["reason"]
        for entry in tomllib.loads(NOT_ASKED.read_text())["left_out"]
        for name in entry["ids"]
    }
    found = {line["id"]: why for line in interactions() if (why := why_not_asked(line))}
    assert listed == found
    assert len(found) + len(list(cases())) == len(interactions())


def test_the_answer_of_another_api_is_never_taken_for_one(server: ReplayServer) -> None:
    """Good answers of Converse, Ollama's and Cohere's own APIs, where OpenAI's is expected."""
    asker, taken = Asker(server), []
    foreign = [r for r in interactions() if why_not_asked(r) and r["status"] == 200]
    for recorded in foreign:
        case = Case(recorded["id"], recorded["provider"], recorded, "openai-compatible", "/v1")
        case = replace(case, recorded={**recorded, "request_body": None, "status": 200})
        server.put_on(case.recorded)
        if not isinstance(asker.get(case, is_failure=True), ToolkitError):
            taken.append(case.id)
    assert len(foreign) > 100
    assert not taken


def test_the_comparison_sees_every_kind_of_difference(server: ReplayServer) -> None:
    """A judge that always agrees would prove nothing."""
    case = next(c for c in cases() if read(c.recorded).tools and c.recorded["stream"])
    asker, expected = Asker(server), read(case.recorded)
    server.put_on(case.recorded)
    reply = asker.get(case)
    assert isinstance(reply, Reply)
    assert list(compare(expected, reply)) == []
    other = ToolCall(id=None, name="other", arguments="{}")
    changes: tuple[dict[str, Any], ...] = (
        {"text": reply.text + "x"},
        {"reasoning": reply.reasoning + "x"},
        {"tool_calls": (other,)},
        {"tool_calls": ()},
        {"finish_reason": "length"},
        {"finish_reason": None},
        *({"usage": replace(reply.usage, **change)} for change in _other_counts()),
    )
    for change in changes:
        assert list(compare(expected, replace(reply, **change))), change
    assert list(compare(replace(expected, error="SERVER_ERROR"), reply))
    assert list(compare(expected, ToolkitError("x")))


def test_a_changed_body_is_noticed(server: ReplayServer) -> None:
    """What is compared comes over the wire, not from the file."""
    case = next(c for c in cases() if read(c.recorded).text and not c.recorded["stream"])
    expected = read(case.recorded)
    body = json.dumps(case.recorded["response_body"])
    first_word = expected.text.split()[0]
    changed = json.loads(body.replace(first_word, "CHANGED"))
    server.put_on({**case.recorded, "response_body": changed})
    assert list(compare(expected, Asker(server).get(case)))


def _other_counts() -> list[dict[str, Any]]:
    return [{name: 10**6} for name in USAGE]
