"""The demo: two panes of a real model at once, and figures that are the store's."""

from __future__ import annotations

import pytest

import toolkit as tk
from tests.cli.shell import run, run_json
from toolkit.cli.commands.demo import HISTORY_PROMPTS, PROMPTS


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


def test_the_history_is_recorded_apart_and_removed_by_one_command(provider):
    told = run_json("demo", "--seed-history", "--no-builtin", "-m", "mock/mock-model")
    assert told == {"calls": len(HISTORY_PROMPTS), "failed": 0}
    calls = tk.calls()
    assert set(calls["source"]) == set(calls["origin"]) == {"demo"}
    assert calls["stream"].nunique() == 2
    assert run_json("spend") == [] and run_json("calls", "stats") == []
    assert run("demo", "--seed-history", "--no-builtin", "-m", "mock/mock-model").returncode == 2

    tk.complete("mock/mock-model", "mine")
    assert run_json("demo", "--remove-history") == {"removed": len(HISTORY_PROMPTS)}
    assert list(tk.calls()["source"]) == ["live"]
    assert run("store", "verify").returncode == 0


@pytest.mark.local_model
def test_the_history_of_the_builtin_model(local_server):
    assert run_json("demo", "--seed-history") == {"calls": len(HISTORY_PROMPTS), "failed": 0}
    assert (tk.calls()["output_tokens"] > 0).all()
