"""Runs in the background: how far they are, how they are stopped, and how they go on."""

from __future__ import annotations

import pytest

from tests.evals.service.conftest import data
from tests.servers.dialects import Answer
from tests.servers.mock_provider import MockProvider
from toolkit.errors import InvalidInput
from toolkit.toolkit import Toolkit


def test_a_run_in_the_background_tells_how_far_it_is_and_ends_like_any_other(
    toolkit: Toolkit, server: MockProvider
) -> None:
    running = toolkit.evaluation.start(data(), "mock/mock-model", scorers=["exact"], epochs=2)
    assert toolkit.evaluation.get(running.run_id).facts["samples"] == 8
    assert toolkit.evaluation.find_background_run(running.run_id) is running
    assert running.wait(60) and running.is_over and running.failure is None
    assert running.progress is not None
    assert (running.progress.done, running.progress.total) == (8, 8)
    run = toolkit.evaluation.get(running.run_id)
    assert run.status == "done" and set(run.frame()["score"]) == {1.0}
    assert len(server.requests) == 8


def test_a_stopped_run_leaves_no_row_for_what_was_not_asked_and_goes_on_when_resumed(
    toolkit: Toolkit, server: MockProvider
) -> None:
    server.default = Answer(text="Paris", first_delay_s=0.2)
    running = toolkit.evaluation.start(data(120), "mock/mock-model", concurrency=1)
    while running.progress is None or not running.progress.done:
        assert not running.wait(0.01), "it is over before it could be stopped"
    with pytest.raises(InvalidInput, match="in progress"):
        toolkit.evaluation.start_resume(running.run_id)
    running.stop()
    assert running.wait(60) and running.failure is None
    run = toolkit.evaluation.get(running.run_id)
    kept = len(run.frame())
    assert run.status == "stopped" and 1 <= kept < 120
    assert (run.summary["not_asked"], run.summary["skipped"]) == (120 - kept, 0)
    before = len(server.requests)
    server.default = Answer(text="Paris")
    assert toolkit.evaluation.start_resume(running.run_id, concurrency=8).wait(60)
    assert len(server.requests) - before == 120 - kept
    assert toolkit.evaluation.get(running.run_id).status == "done"


def test_what_makes_no_sense_is_refused_before_anything_is_begun(
    toolkit: Toolkit, server: MockProvider
) -> None:
    for options in ({"scorers": ["exakt"]}, {"epochs": 0}, {"seed": "x"}, {"cap_usd": -1}):
        with pytest.raises(InvalidInput):
            toolkit.evaluation.start(data(), "mock/mock-model", **options)
    with pytest.raises(InvalidInput, match="no run"):
        toolkit.evaluation.start_resume("nothing")
    assert not server.requests and toolkit.evaluation.list().empty
