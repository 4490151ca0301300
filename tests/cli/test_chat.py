"""Asking from the shell: text on stdout, figures beside it, a row for everything."""

from __future__ import annotations

import base64
import json

import pytest

from tests.cli.shell import run, run_json
from tests.servers import Answer
from toolkit.cli.commands.chat import read_params
from toolkit.errors import InvalidInput


@pytest.mark.parametrize("how", ["--stream", "--no-stream"])
def test_the_answer_alone_is_on_stdout_and_the_figures_beside_it(provider, how):
    done = run("chat", "What is it?", "-m", "mock/mock-model", how)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "The answer is forty-two.\n"
    assert "unpriced" in done.stderr
    (row,) = run_json("calls", "list")
    assert (row["origin"], row["status"]) == ("chat", "ok")
    assert row["stream"] is (how == "--stream")


def test_system_and_parameters_reach_the_provider(provider):
    args = ["--system", "Be brief.", "--param", "temperature=0.2", "--param", "stop=END"]
    run_json("chat", "Hello", "-m", "mock/mock-model", *args)
    asked = provider.requests[-1].json
    assert asked["messages"][0] == {"role": "system", "content": "Be brief."}
    assert asked["temperature"] == 0.2
    assert asked["stop"] in ("END", ["END"])


def test_the_prompt_comes_from_stdin(provider):
    run("chat", "-", "-m", "mock/mock-model", stdin="from a pipe")
    assert provider.requests[-1].json["messages"][-1]["content"] == "from a pipe"


def test_json_is_the_whole_reply(provider):
    reply = run_json("chat", "Hello", "-m", "mock/mock-model")
    assert reply["text"] == "The answer is forty-two."
    assert reply["finish_reason"] == "stop"
    assert reply["timing"]["ttft_ms"] > 0
    assert reply["cost_usd"] is None
    assert reply["attempts"][0]["call_id"] == reply["call_id"]


def test_a_stream_that_breaks_keeps_what_came_and_is_no_success(provider):
    provider.default = Answer(text="one two three four", drop_after=2)
    done = run("chat", "Hello", "-m", "mock/mock-model")
    assert done.returncode == 1
    assert done.stdout.startswith("one ")
    assert "STREAM_ERROR" in done.stderr
    assert "Traceback" not in done.stderr
    (row,) = run_json("calls", "list")
    assert row["status"] == "error"


@pytest.mark.parametrize(
    ("model", "code"),
    [("nowhere/x", "PROVIDER_NOT_FOUND"), ("justaname", None), ("openai/gpt-5", None)],
)
def test_who_cannot_be_asked_is_told_calmly(model, code):
    done = run("chat", "Hello", "-m", model, "--json")
    assert done.returncode in (1, 2)
    error = json.loads(done.stdout)["error"]
    assert error["hint"]
    assert code in (None, error["code"])


def test_several_models_stream_as_prefixed_lines_and_end_in_a_table(provider):
    done = run("chat", "Hello", "-m", "mock/mock-model", "-m", "mock/mock-small")
    assert done.returncode == 0, done.stderr
    assert "[1] The answer is forty-two." in done.stdout
    assert "[2] The answer is forty-two." in done.stdout
    table = done.stdout.rsplit("Pane", 1)[1]
    assert "1. mock/mock-model" in table
    assert "2. mock/mock-small" in table


def test_one_pane_that_fails_leaves_the_other_whole(provider):
    args = ["-m", "mock/mock-model", "-m", "nowhere/x"]
    done = run("chat", "Hello", *args, "--json")
    assert done.returncode == 1
    good, bad = json.loads(done.stdout)["panes"]
    assert good["text"] == "The answer is forty-two."
    assert bad["error"]["code"] == "PROVIDER_NOT_FOUND"
    assert (good["answers"], bad["errors"]) == (1, 1)


def test_parameters_are_json_where_they_are():
    pairs = ["temperature=0.5", "stop=END", 'tools=[{"a": 1}]', "seed=7", "note=a=b"]
    assert read_params(pairs) == {
        "temperature": 0.5,
        "stop": "END",
        "tools": [{"a": 1}],
        "seed": 7,
        "note": "a=b",
    }


@pytest.mark.parametrize("pair", ["temperature", "=1", "api_key=abc", "origin=eval", "panes=[]"])
def test_what_is_no_parameter_is_refused(pair):
    with pytest.raises(InvalidInput):
        read_params([pair])


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_an_image_file_goes_as_a_data_url(provider, tmp_path):
    (tmp_path / "dot.png").write_bytes(PNG)
    run_json("chat", "What is this?", "-m", "mock/mock-model", "--image", "dot.png")
    text, image = provider.requests[-1].json["messages"][-1]["content"]
    assert text == {"type": "text", "text": "What is this?"}
    assert image["image_url"]["url"].startswith("data:image/png;base64,iVBOR")


def test_the_content_of_an_image_says_of_which_type_it_is(provider, tmp_path):
    """Providers refuse a PNG that is declared to be a JPEG."""
    (tmp_path / "dot.jpg").write_bytes(PNG)
    run_json("chat", "What is this?", "-m", "mock/mock-model", "--image", "dot.jpg")
    _, image = provider.requests[-1].json["messages"][-1]["content"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,iVBOR")


@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", PNG[:4]])
def test_a_file_without_an_image_is_refused_before_any_call(provider, tmp_path, content):
    (tmp_path / "dot.png").write_bytes(content)
    done = run("chat", "What is this?", "-m", "mock/mock-model", "--image", "dot.png")
    assert done.returncode == 2
    assert "contains no image" in done.stderr
    assert provider.requests == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"town": "Oslo"}', None),
        ('{"town": 4}', "4 is not of type 'string'"),
        ("Oslo", "invalid JSON"),
    ],
)
def test_an_answer_that_does_not_follow_the_schema_is_reported(provider, answer, said):
    schema = '{"type": "object", "properties": {"town": {"type": "string"}}}'
    provider.enqueue(answer)
    done = run("chat", "Where?", "-m", "mock/mock-model", "--schema", schema)
    assert done.returncode == 0
    assert ("does not follow the schema" in done.stderr) is (said is not None)
    assert said is None or said in done.stderr


def test_a_schema_file_becomes_the_response_format(provider, tmp_path):
    schema = {"type": "object", "properties": {"town": {"type": "string"}}}
    (tmp_path / "town.json").write_text(json.dumps(schema))
    run_json("chat", "Where?", "-m", "mock/mock-model", "--schema", "town.json")
    sent = provider.requests[-1].json["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["schema"] == schema
    assert sent["json_schema"]["name"] == "town"


def test_the_common_parameters_have_options(provider):
    run_json("chat", "Hi", "-m", "mock/mock-model", "--temperature", "0.1", "--max-tokens", "5")
    sent = provider.requests[-1].json
    assert sent["temperature"] == 0.1
    assert 5 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))


def test_a_conversation_goes_on(provider):
    run_json("chat", "First question", "-m", "mock/mock-model")
    run_json("chat", "And then?", "-m", "mock/mock-model", "-c")
    sent = provider.requests[-1].json["messages"]
    assert [(m["role"], m["content"]) for m in sent] == [
        ("user", "First question"),
        ("assistant", "The answer is forty-two."),
        ("user", "And then?"),
    ]


def test_a_conversation_goes_on_with_its_own_model(provider):
    provider.enqueue("one")
    provider.enqueue("two")
    assert run("chat", "First", "-m", "mock/other").returncode == 0
    done = run("chat", "-c", "Second")
    assert done.returncode == 0, done.stderr
    assert provider.requests[-1].json["model"] == "other"


def test_a_schema_and_a_template_can_be_given_as_text(provider):
    provider.enqueue("{}")
    schema = '{"type": "object"}'
    done = run("chat", "Hi", "-m", "mock/m", "--schema", schema, "--template", "Say {text}!")
    assert done.returncode == 0, done.stderr
    sent = provider.requests[-1].json
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert sent["messages"][-1]["content"] == "Say Hi!"
    assert run("chat", "Hi", "-m", "mock/m", "--schema", '{"type":').returncode == 2


def test_the_matrix_keeps_the_order_of_the_file_and_asks_again(provider, tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("b\na\nb\n")
    for _ in range(2):
        rows = run_json("chat", "-f", str(file), "-m", "mock/m")
        assert [row["input"] for row in rows] == ["b", "a", "b"]
        assert not any(row["is_cached"] for row in rows)
    assert len(provider.requests) == 6


def test_a_template_surrounds_the_prompt(provider, tmp_path):
    (tmp_path / "t.txt").write_text("Translate: {text}")
    run_json("chat", "Hund", "-m", "mock/mock-model", "--template", "t.txt")
    assert provider.requests[-1].json["messages"][-1]["content"] == "Translate: Hund"


def test_many_prompts_to_many_models_are_a_matrix(provider, tmp_path):
    (tmp_path / "prompts.txt").write_text("One?\n\nTwo?\n")
    models = ["-m", "mock/mock-model", "-m", "mock/mock-small"]
    done = run("chat", "-f", "prompts.txt", *models)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("The answer is forty-two.") == 4
    assert "One?" in done.stdout
    assert "mock/mock-small" in done.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["Hi", "--image", "missing.png"], "cannot be read"),
        (["Hi", "--schema", "missing.json"], "cannot be read"),
        (["Hi", "--schema", "[1]"], "not a JSON schema"),
        (["Hi", "--schema", '{"type": "objekt"}'], "not valid"),
        (["Hi", "--template", "Say it."], "has no `{text}`"),
        (["Hi", "--temperature", "-1"], "--temperature"),
        (["Hi", "--temperature", "nan"], "--temperature"),
        (["Hi", "--max-tokens", "0"], "--max-tokens"),
        (["Hi", "-c"], "no earlier conversation"),
        ([], "no prompt"),
        (["-f", "missing.txt"], "cannot be read"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_any_call(provider, args, said):
    done = run("chat", *args, "-m", "mock/mock-model")
    assert done.returncode == 2
    assert said in done.stderr
    assert provider.requests == []


def test_an_estimate_calls_nothing(provider):
    (estimate,) = run_json("chat", "Hello", "-m", "mock/mock-model", "--estimate")
    assert estimate["input_tokens"] > 0
    assert estimate["most_usd"] is None  # the mock has no price, and unknown is never 0
    done = run("chat", "Hello", "-m", "mock/mock-model", "--estimate")
    assert done.returncode == 0, done.stderr
    assert provider.requests == []


def test_a_missing_key_says_how_to_set_it() -> None:
    done = run("chat", "Hi", "-m", "openai/gpt-5-mini")
    assert done.returncode == 1
    assert "toolkit keys set openai" in done.stderr and "OPENAI_API_KEY" in done.stderr


def test_a_model_without_its_provider_says_how_models_are_named() -> None:
    done = run("chat", "Hi", "-m", "gpt-5-mini")
    assert "'gpt-5-mini'" in done.stderr and "PROVIDER/MODEL" in done.stderr
