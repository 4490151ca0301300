"""The demo: two panes of a real model at once, and figures that are the store's."""

from __future__ import annotations

import pytest

from tests.cli.shell import run, run_json
from toolkit.cli.commands.demo import PROMPTS


@pytest.mark.slow
@pytest.mark.local_model
def test_two_panes_answer_three_questions_and_all_of_it_is_recorded(local_server):
    told = run_json("demo", "--no-discover")
    assert [pane["answers"] for pane in told["panes"]] == [len(PROMPTS)] * 2
    assert told["rows"] == {"calls": 6, "boards": 3, "panes": 6}
    for pane in told["panes"]:
        assert pane["cost_usd"] is None
        assert pane["ttft_p50_ms"] > 0
        assert pane["output_tokens"] > 0
    (again,) = run_json(
        "store",
        "sql",
        "SELECT quantile_cont(ttft_ms, 0.5) AS p50, sum(output_tokens)::BIGINT AS n FROM calls "
        "WHERE json_extract(params, '$.temperature')::DOUBLE = 0",
    )
    assert again == {"p50": told["panes"][0]["ttft_p50_ms"], "n": told["panes"][0]["output_tokens"]}


def test_a_named_model_is_asked_beside_another_without_the_builtin(provider):
    named = ["-m", "mock/mock-model", "-m", "mock/mock-small"]
    done = run("demo", "--no-builtin", "--no-discover", *named)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("The answer is forty-two.") == 6
    assert "6 calls, 3 boards, 6 panes" in done.stdout


def test_an_answer_that_is_missing_fails_the_demo(provider):
    named = ["-m", "mock/mock-model", "-m", "nowhere/x"]
    done = run("demo", "--no-builtin", "--no-discover", *named)
    assert done.returncode == 1
    assert "PROVIDER_NOT_FOUND" in done.stdout


def test_one_pane_is_no_comparison():
    done = run("demo", "--no-builtin", "--no-discover")
    assert done.returncode == 2
    assert "two panes" in done.stderr
