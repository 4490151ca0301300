"""Logs of other tools become rows of `calls`, once, marked, and apart from live figures."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

import toolkit as tk
from tests.cli.shell import run, run_json
from toolkit.imports import litellm_spend

HERE = Path(__file__).parent
EVALS = HERE.parent / "evals" / "fixtures"


def imported(file: Path) -> list[dict]:
    """Import a file and read its rows back, oldest first."""
    run_json("calls", "import", str(file))
    rows = tk.sql("SELECT * FROM calls ORDER BY started_at, seq").to_dict("records")
    assert {row["source"] for row in rows} == {"import"}
    assert {row["origin"] for row in rows} == {"import"}
    return rows


@pytest.fixture
def llm_log(tmp_path):
    path = tmp_path / "logs.db"
    connection = sqlite3.connect(path)
    connection.executescript((HERE / "fixtures" / "llm.sql").read_text("utf-8"))
    connection.execute(
        "INSERT INTO responses (id, model, prompt, system, options_json, response, "
        "conversation_id, duration_ms, datetime_utc, input_tokens, output_tokens, token_details) "
        "VALUES ('old', 'claude-3-haiku', 'Who?', 'be brief', '{\"max_tokens\": 9}', 'Me.', 'c1', "
        "812, '2024-05-01T10:00:00', 11, 2, "
        '\'{"prompt_tokens_details": {"cached_tokens": 4}}\')'
    )
    connection.commit()
    connection.close()
    return path


def test_the_log_of_llm_in_both_its_layouts(llm_log):
    old, first, second = imported(llm_log)
    assert (old["model"], old["provider"]) == ("anthropic/claude-3-haiku", "anthropic")
    assert old["started_at"] == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert (old["duration_ms"], old["input_tokens"], old["output_tokens"]) == (812, 11, 2)
    assert old["cached_input_tokens"] == 4
    assert json.loads(old["params"]) == {"max_tokens": 9}
    assert [m["content"] for m in json.loads(old["messages"])] == ["be brief", "Who?"]
    assert (old["output_text"], old["tags"]["conversation"]) == ("Me.", "c1")

    assert first["model"] == "openai/gpt-4o-mini"
    assert json.loads(first["params"]) == {"temperature": 0.3}
    roles = [message["role"] for message in json.loads(second["messages"])]
    assert roles == ["system", "user", "assistant", "user"]
    assert json.loads(second["messages"])[-1]["content"] == "long fragment text\nAgain"
    assert second["output_text"] == "Hello you"


SPEND = {
    "request_id": "chatcmpl-1",
    "call_type": "acompletion",
    "api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
    "spend": 0.00042,
    "total_tokens": 30,
    "prompt_tokens": 20,
    "completion_tokens": 10,
    "startTime": "2026-01-05T10:00:00Z",
    "completionStartTime": "2026-01-05T10:00:00.400000Z",
    "endTime": "2026-01-05T10:00:02Z",
    "model": "gpt-4o",
    "model_group": "fast",
    "custom_llm_provider": "openai",
    "metadata": '{"user_api_key_user_id": "ann", "status": "success"}',
    "cache_hit": "False",
    "request_tags": '["batch"]',
    "messages": [{"role": "user", "content": "Hi"}],
    "response": {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]},
    "session_id": "s1",
    "status": "success",
    "a_new_field": 5,
}
FAILED = {
    **SPEND,
    "request_id": "chatcmpl-2",
    "startTime": "2026-01-05T11:00:00Z",
    "endTime": "2026-01-05T11:00:01Z",
    "completionStartTime": "2026-01-05T11:00:01Z",
    "status": "failure",
    "spend": 0,
    "response": "{}",
    "metadata": {"error_information": {"error_message": "no such model"}},
}
CACHED = {**SPEND, "request_id": "chatcmpl-3", "cache_hit": "True"}
IMAGE = {**SPEND, "request_id": "img-1", "call_type": "aimage_generation"}
BROKEN = {**SPEND, "request_id": "x", "startTime": "yesterday"}


def write_spend(tmp_path, form):
    rows = [SPEND, FAILED, CACHED, IMAGE, BROKEN]
    path = tmp_path / f"spend.{form.removesuffix(' page')}"
    if form == "json":
        path.write_text(json.dumps(rows))
    elif form == "json page":
        path.write_text(json.dumps({"data": rows, "total": 5}))
    elif form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(SPEND))
            writer.writeheader()
            packed = [
                {k: json.dumps(v) if isinstance(v, dict | list) else v for k, v in row.items()}
                for row in rows
            ]
            writer.writerows(packed)
    return path


@pytest.mark.parametrize("form", ["json", "json page", "jsonl", "csv"])
def test_spend_logs_of_litellm(tmp_path, form):
    good, failed = imported(write_spend(tmp_path, form))
    assert (good["model"], good["cost_usd"]) == ("openai/gpt-4o", 0.00042)
    assert (good["ttft_ms"], good["duration_ms"]) == (400, 2000)
    assert (good["input_tokens"], good["output_tokens"]) == (20, 10)
    assert (good["output_text"], good["finish_reason"]) == ("Hello", "stop")
    assert good["tags"]["model_group"] == "fast" and good["tags"]["session"] == "s1"
    assert (failed["status"], failed["error_message"]) == ("error", "no such model")
    assert pd.isna(failed["cost_usd"])  # litellm writes 0 where it knows no price
    everything = json.dumps([good, failed], default=str)
    assert SPEND["api_key"] not in everything and "ann" not in everything


def test_prompts_and_answers_where_newer_versions_of_litellm_keep_them(tmp_path):
    asked = {"model": "fast", "messages": [{"role": "user", "content": "From the body"}]}
    chat = {**SPEND, "messages": "{}", "proxy_server_request": json.dumps(asked)}
    item = {"type": "message", "content": [{"type": "output_text", "text": "Said"}]}
    response = {
        **chat,
        "request_id": "resp_1",
        "startTime": "2026-01-05T12:00:00Z",
        "call_type": "aresponses",
        "response": json.dumps({"output": [{"type": "reasoning", "summary": []}, item]}),
        "proxy_server_request": json.dumps({"model": "fast", "input": "Asked"}),
    }
    path = tmp_path / "spend.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (chat, response)))
    first, second = imported(path)
    assert json.loads(first["messages"]) == asked["messages"]
    assert json.loads(second["messages"]) == [{"role": "user", "content": "Asked"}]
    assert (first["output_text"], second["output_text"]) == ("Hello", "Said")


def test_what_was_not_understood_is_reported(tmp_path):
    report = run_json("calls", "import", str(write_spend(tmp_path, "json")))
    assert report["imported"] == 2
    assert report["skipped"] == {
        "answers from litellm's cache, for which no provider was called": 1,
        "calls of the kind 'aimage_generation'": 1,
        "a time that is not a time": 1,
    }
    assert report["fields_not_read"] == ["a_new_field"]
    shown = run("calls", "import", str(write_spend(tmp_path, "json")))
    assert "0 calls imported from litellm, 2 were there already" in shown.stdout + shown.stderr


BUCKETS = {
    "object": "page",
    "data": [
        {
            "object": "bucket",
            "start_time": 1730419200,
            "end_time": 1730505600,
            "results": [
                {
                    "object": "organization.usage.completions.result",
                    "input_tokens": 1000,
                    "output_tokens": 500,
                    "input_cached_tokens": 800,
                    "num_model_requests": 5,
                    "project_id": "proj_a",
                    "model": "gpt-4o-mini-2024-07-18",
                },
                {
                    "object": "organization.costs.result",
                    "amount": {"value": 0.06, "currency": "usd"},
                    "line_item": "GPT-4o mini, input",
                    "project_id": "proj_a",
                },
                {
                    "object": "organization.usage.images.result",
                    "images": 3,
                    "num_model_requests": 1,
                },
            ],
        },
        {
            "object": "bucket",
            "start_time": 4102444800,
            "end_time": 4102531200,
            "results": [
                {
                    "object": "organization.usage.completions.result",
                    "input_tokens": 1,
                    "num_model_requests": 1,
                }
            ],
        },
    ],
}


def test_usage_and_costs_of_openai(tmp_path):
    path = tmp_path / "usage.json"
    path.write_text(json.dumps(BUCKETS))
    usage, cost = imported(path)
    assert usage["model"] == "openai/gpt-4o-mini-2024-07-18"
    assert (usage["input_tokens"], usage["cached_input_tokens"]) == (1000, 800)
    assert usage["tags"]["requests"] == "5" and list(usage["flags"]) == ["aggregated"]
    assert (cost["cost_usd"], cost["model"]) == (0.06, "openai/GPT-4o mini")
    again = run_json("calls", "import", str(path))
    assert (again["imported"], again["known"]) == (0, 2)
    assert again["skipped"] == {
        "usage of images, which has no tokens": 1,
        "sums of a period that has not ended": 1,
    }


@pytest.mark.parametrize(
    "content",
    [
        "start_time,end_time,num_model_requests,model,input_tokens,output_tokens,project_id\n"
        "1730419200,1730505600,5,gpt-4o,1000,500,proj_a\n",
        '{"data": [{"aggregation_timestamp": 1730419200, "n_requests": 5, "operation": '
        '"completion", "snapshot_id": "gpt-4o", "n_context_tokens_total": 1000, '
        '"n_generated_tokens_total": 500}]}',
    ],
)
def test_files_of_openais_dashboard(tmp_path, content):
    path = tmp_path / ("usage.csv" if content.startswith("start") else "activity.json")
    path.write_text(content)
    (usage,) = imported(path)
    assert (usage["model"], usage["input_tokens"]) == ("openai/gpt-4o", 1000)
    assert (usage["output_tokens"], usage["tags"]["requests"]) == (500, "5")


@pytest.mark.parametrize(
    ("name", "tool", "calls"),
    [
        ("promptfoo-towns.json", "promptfoo", None),
        ("inspect-ten-questions.json", "inspect_ai", 20),
        ("inspect-ten-questions.eval", "inspect_ai", 20),
    ],
)
def test_answers_of_evaluation_tools(name, tool, calls):
    rows = imported(EVALS / name)
    assert calls is None or len(rows) == calls
    assert rows[0]["tags"]["imported_from"] == tool
    assert any(row["output_text"] for row in rows)
    assert json.loads(rows[0]["messages"])[0]["role"] in ("system", "user")


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        # As Inspect 0.3 writes it for OpenAI's prompt_tokens of 21, of which 5 were cached.
        ({"input_tokens": 16, "input_tokens_cache_read": 5, "total_tokens": 28}, 21),
        ({"input_tokens": 21, "input_tokens_cache_read": 5, "total_tokens": 28}, 21),
        ({"input_tokens": 21, "total_tokens": 28}, 21),
    ],
)
def test_cached_input_of_inspect_is_input(tmp_path, used, expected):
    log = json.loads((EVALS / "inspect-ten-questions.json").read_text("utf-8"))
    for sample in log["samples"]:
        for name in sample["model_usage"]:
            sample["model_usage"][name] = {**used, "output_tokens": 7}
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log))
    answered = [row for row in imported(path) if not pd.isna(row["input_tokens"])]
    assert {(row["input_tokens"], row["output_tokens"]) for row in answered} == {(expected, 7)}


def test_a_file_imported_twice_is_imported_once(llm_log):
    first = run_json("calls", "import", str(llm_log))
    second = run_json("calls", "import", str(llm_log))
    assert (first["imported"], first["known"]) == (3, 0)
    assert (second["imported"], second["known"]) == (0, 3)
    assert len(tk.calls()) == 3


def test_imported_calls_are_in_no_live_figure(tmp_path):
    run_json("calls", "import", str(write_spend(tmp_path, "json")))
    assert len(tk.calls()) == 2
    assert tk.spend().empty
    assert run_json("calls", "stats") == []
    assert run_json("spend") == []


@pytest.mark.parametrize("recording", ["hash", "off"])
def test_prompts_are_kept_only_as_the_recording_policy_allows(monkeypatch, llm_log, recording):
    monkeypatch.setenv("TOOLKIT_RECORDING", recording)
    rows = imported(llm_log)
    assert [row["messages"] for row in rows] == [None] * 3
    assert [row["output_text"] for row in rows] == [None] * 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "{}"),
        ("b.json", "not json"),
        ("c.csv", "a,b\n1,2\n"),
        ("d.db", "x"),
        ("e.jsonl", "{"),
    ],
)
def test_other_files_are_refused_with_what_is_supported(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    done = run("calls", "import", str(path))
    assert done.returncode == 2
    assert name in done.stderr and "Traceback" not in done.stderr


def test_ids_sort_by_time(llm_log):
    rows = imported(llm_log)
    assert [row["call_id"] for row in rows] == sorted(row["call_id"] for row in rows)
    assert all(row["call_id"][14] == "7" for row in rows)


def test_every_column_of_litellms_own_table_is_known():
    found = importlib.util.find_spec("litellm")
    assert found is not None and found.origin is not None
    schema = Path(found.origin).parent / "proxy" / "schema.prisma"
    if not schema.exists():
        pytest.skip("this version of litellm brings no schema")
    table = schema.read_text("utf-8").partition("model LiteLLM_SpendLogs {")[2]
    table = table.partition("}\n")[0]
    columns = set(re.findall(r"^  (\w+) +[A-Z]", table, re.M))
    assert {"request_id", "spend", "startTime"} <= columns
    assert columns - set(litellm_spend._KNOWN) == set()
