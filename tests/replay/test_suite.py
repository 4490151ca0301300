"""Suites are read whole and refused clearly; checks judge what they say they judge."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from toolkit.errors import InvalidInput
from toolkit.records import Receipt, Reply, Timing, ToolCall
from toolkit.replay.regression.case_checks import Measured, Seen, parse_check
from toolkit.replay.regression.suite import find_suite, load_suite

TOML = 'models = ["local/m"]\n'
CASE = "- id: one\n  prompt: Hi\n  checks: [{contains: hi}]\n"


def write(folder: Path, toml: str = TOML, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "suite.toml").write_text(toml)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def reply(text: str = "", **fields: Any) -> Reply:
    return Reply(text=text, call_id="c", request_id="r", model="local/m", **fields)


# ---- reading --------------------------------------------------------------------------------


def test_defaults_are_taken_and_a_case_may_differ(tmp_path):
    toml = (
        'name = "greeting"\nmodels = ["local/a", "local/b"]\nrepeats = 5\n'
        '[defaults]\nsystem = "Be short."\ntemperature = 0.0\n'
        "[thresholds]\nalpha = 0.01\nmax_regressed = 2\n"
    )
    cases = (
        "- {id: one, prompt: Hi, exact: Hello}\n"
        "- id: two\n  models: [local/c]\n  stream: true\n  system: Be long.\n"
        "  messages: [{role: user, content: Hi}, {role: assistant, content: Yo}]\n"
        "  params: {temperature: 1.0, max_tokens: 4}\n  checks: [{regex: a+}, {contains: [x, y]}]\n"
    )
    suite = load_suite(write(tmp_path / "s", toml, cases__yaml=cases))
    one, two = suite.cases
    assert (suite.name, suite.repeats, suite.alpha, suite.max_regressed) == ("greeting", 5, 0.01, 2)
    assert one.messages[0] == {"role": "system", "content": "Be short."}
    assert (one.models, one.stream, dict(one.params)) == (
        ("local/a", "local/b"),
        False,
        {"temperature": 0.0},
    )
    assert two.messages[0]["content"] == "Be long."
    assert (two.models, two.stream, two.params["temperature"]) == (("local/c",), True, 1.0)
    assert [check.label for check in two.checks] == ["regex 'a+'", "contains 'x' or 'y'"]
    assert suite.cassette_of(two) == tmp_path / "s" / "two.yaml"


def test_cases_may_be_rows_of_csv_and_jsonl_too(tmp_path):
    table = "id,prompt,contains,numeric\none,Hi,hello,\ntwo,2+2,,4\n"
    lines = json.dumps({"id": "three", "prompt": "x", "checks": [{"exact": "y"}]}) + "\n\n"
    folder = write(tmp_path / "s", cases__csv=table)
    (folder / "cases-more.jsonl").write_text(lines)
    suite = load_suite(folder)
    assert [case.name for case in suite.cases] == ["three", "one", "two"]
    assert [case.checks[0].label for case in suite.cases] == [
        "exact 'y'",
        "contains 'hello'",
        "number 4",
    ]


@pytest.mark.parametrize(
    ("toml", "cases", "words"),
    [
        ("models = [", CASE, "suite.toml cannot be read"),
        ("model = 1\n", CASE, "no setting 'model'"),
        (TOML + "repeats = 0\n", CASE, "`repeats` must be a whole number of at least 1"),
        (TOML + "[thresholds]\nalpha = 2\n", CASE, "`alpha` must be between"),
        (TOML + "thresholds = 3\n", CASE, "must be a table"),
        ("models = []\n", CASE, "no model is given"),
        ('models = ["nameless"]\n', CASE, "no `provider/model_id`"),
        (TOML, "", "is not a list of cases"),
        (TOML, "- one\n", "is not a list of cases"),
        (TOML, "[]", "has no cases"),
        (TOML, "- id: [", "cannot be read"),
        (TOML, "- {prompt: Hi, exact: x}", "is not a valid case id"),
        (TOML, "- {id: ../x, prompt: Hi, exact: x}", "is not a valid case id"),
        (TOML, "- {id: nul, prompt: Hi, exact: x}", "is not a valid case id"),
        (TOML, "- {id: cases, prompt: Hi, exact: x}", "is reserved for"),
        (TOML, CASE + CASE.replace("one", "ONE"), "'ONE' twice"),
        (TOML, "- {id: one, prompt: Hi}", "no checks"),
        (TOML, "- {id: one, prompt: Hi, checks: []}", "no checks"),
        (TOML, "- {id: one, prompt: ' ', exact: x}", "has no prompt"),
        (TOML, "- {id: one, messages: [hi], exact: x}", "with a `role`"),
        (
            TOML,
            "- {id: one, messages: [{role: user, content: Hi, you}], exact: x}",
            "field 'you' without a value",
        ),
        (TOML, "- {id: one, promt: Hi, exact: x}", "no setting 'promt'"),
        (TOML, "- {id: one, prompt: Hi, params: 3, exact: x}", "`params` must be a mapping"),
        (TOML, "- {id: one, prompt: Hi, stream: yes please, exact: x}", "`stream` must be true"),
        (TOML, "- {id: one, prompt: Hi, checks: [{regex: '('}]}", "not a regular expression"),
        (TOML, "- {id: one, prompt: Hi, checks: [{guess: 1}]}", "no check 'guess'"),
        (TOML, "- {id: one, prompt: Hi, checks: [exact]}", "is not a check"),
        (TOML, "- {id: one, prompt: Hi, json_schema: {type: 7}}", "schema is not valid"),
        (TOML, "- {id: one, prompt: Hi, numeric: many}", "is not valid"),
        (TOML, "- {id: one, prompt: Hi, similarity: {to: x, at_least: 7}}", "is not valid"),
        (TOML, "- {id: one, prompt: Hi, latency: {p99: 7}}", "is not valid"),
        (TOML, "- {id: one, prompt: Hi, cost: cheap}", "is not valid"),
        (TOML, "- {id: one, prompt: Hi, scorer: score}", "no scorer"),
        (TOML, "- {id: one, prompt: Hi, tool_call: {nome: x}}", "is not valid"),
        (TOML, "- &a {id: one, prompt: Hi, exact: x}\n- *a", "aliases are not allowed"),
        (TOML, "- !!python/object/apply:os.system [true]", "cannot be read"),
        (TOML, "[" * 4000, "cannot be read"),
    ],
)
def test_a_suite_that_is_not_in_order_says_where_and_what(tmp_path, toml, cases, words):
    folder = write(tmp_path / "s", toml, cases__yaml=cases)
    with pytest.raises(InvalidInput, match=words):
        load_suite(folder)


def test_the_message_names_the_file_and_the_case(tmp_path):
    cases = CASE + "- id: two\n  prompt: Hi\n"
    with pytest.raises(InvalidInput, match=r"cases\.yaml, case two: it has no checks"):
        load_suite(write(tmp_path / "s", cases__yaml=cases))


def test_wrong_folders_are_told_apart(tmp_path):
    with pytest.raises(InvalidInput, match="no suite 'nowhere'"):
        find_suite("nowhere")
    (tmp_path / "plain").mkdir()
    with pytest.raises(InvalidInput, match="has no suite"):
        find_suite(tmp_path / "plain")
    with pytest.raises(InvalidInput, match="has no cases"):
        load_suite(write(tmp_path / "s"))
    write(tmp_path / "cassettes" / "named", cases__yaml=CASE)
    assert find_suite("named") == Path("cassettes/named")


def test_a_huge_file_of_cases_is_refused(tmp_path):
    folder = write(tmp_path / "s", cases__yaml="")
    with (folder / "cases.yaml").open("wb") as file:
        file.truncate(20 * 1024 * 1024)
    with pytest.raises(InvalidInput, match="larger than 16 MB"):
        load_suite(folder)


def test_a_table_with_a_row_too_long_is_refused(tmp_path):
    folder = write(tmp_path / "s", cases__csv="id,prompt,exact\none,Hi,x,y\n")
    with pytest.raises(InvalidInput, match="more cells"):
        load_suite(folder)


def test_only_some_cases_can_be_chosen(tmp_path):
    suite = load_suite(write(tmp_path / "s", cases__yaml=CASE + CASE.replace("one", "two")))
    assert [case.name for case in suite.only(["two"]).cases] == ["two"]
    assert suite.only([]) == suite
    with pytest.raises(InvalidInput, match="no case 'three'"):
        suite.only(["three"])


# ---- checks ---------------------------------------------------------------------------------

CALL = ToolCall(id="1", name="weather", arguments='{"city": "Paris", "days": 2}')
SCHEMA = {"type": "object", "required": ["a"]}


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        ({"exact": "Paris"}, reply(" Paris\n"), reply("Paris!")),
        ({"exact": ["yes", "no"]}, reply("no"), reply("maybe")),
        ({"contains": "paris"}, reply("It is Paris."), reply("Rome")),
        ({"regex": "^a+$"}, reply("aaa"), reply("ab")),
        ({"numeric": 42}, reply("about 42"), reply("43")),
        ({"numeric": {"value": 3.14, "tolerance": 0.01}}, reply("3.145"), reply("3.2")),
        ({"json_schema": SCHEMA}, reply('```json\n{"a": 1}\n```'), reply('{"b": 1}')),
        ({"similarity": {"to": "the cat sat"}}, reply("the cat sits"), reply("a dog")),
        ({"tool_call": "weather"}, reply(tool_calls=(CALL,)), reply("sunny")),
        (
            {"tool_call": {"name": "weather", "arguments": {"city": "Paris"}}},
            reply(tool_calls=(CALL,)),
            reply(tool_calls=(ToolCall(id="1", name="weather", arguments='{"city": "Rome"}'),)),
        ),
        (
            {"scorer": {"name": "rouge_l", "target": "one two three", "at_least": 0.5}},
            reply("one two four"),
            reply("nothing alike"),
        ),
    ],
)
def test_a_check_passes_the_good_and_fails_the_bad(check, good, bad):
    parsed = parse_check(check)
    assert parsed.apply(Seen(reply=good)).passed is True
    assert parsed.apply(Seen(reply=bad)).passed is False
    assert parsed.apply(Seen(reply=None, error_code="TIMEOUT")).passed is False


def test_latency_and_cost_are_judged_by_what_was_measured_live():
    """A replay is fast and free; its own timing must not pass the gate."""
    slow = Measured(ttft_ms=900, duration_ms=2000, cost_usd=Decimal("0.02"))
    replayed = reply(timing=Timing(ttft_ms=0.1, duration_ms=0.2), receipt=Receipt())
    for check, limit in (({"latency": {"ttft_ms": 500}}, 901), ({"cost": 0.01}, None)):
        assert parse_check(check).apply(Seen(reply=replayed, measured=slow)).passed is False
        unmeasured = parse_check(check).apply(Seen(reply=replayed))
        assert (unmeasured.passed, unmeasured.is_error) == (None, False)
        if limit:
            wide = parse_check({"latency": {"ttft_ms": limit, "duration_ms": 2000}})
            assert wide.apply(Seen(reply=replayed, measured=slow)).passed is True
    assert (
        parse_check({"cost": {"at_most_usd": 0.02}})
        .apply(Seen(reply=replayed, measured=slow))
        .passed
    )


def test_an_expected_failure_passes_and_success_then_fails():
    check = parse_check({"error": "CONTEXT_WINDOW_EXCEEDED"})
    assert check.expects_error
    assert check.apply(Seen(reply=None, error_code="CONTEXT_WINDOW_EXCEEDED")).passed is True
    assert check.apply(Seen(reply=None, error_code="TIMEOUT")).passed is False
    assert check.apply(Seen(reply=reply("fine"))).passed is False


def test_a_scorer_that_cannot_work_is_an_error_and_no_verdict():
    judged = parse_check({"scorer": {"name": "rouge_l"}}).apply(Seen(reply=reply("x")))
    assert (judged.passed, judged.is_error) == (None, True)
    assert "target" in judged.reason
