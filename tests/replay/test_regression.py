"""Whole runs: record, replay without a key or a server, break something, see exactly what broke."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

import toolkit as tk
from tests.servers.mock_provider import MockProvider
from toolkit.errors import CassetteError, InvalidInput
from toolkit.replay.cassettes.cassette_file import read_cassette
from toolkit.replay.from_call import make_case
from toolkit.replay.regression.suite_run import (
    SuiteRun,
    record_regression,
    render_junit,
    render_report,
    run_regression,
)
from toolkit.toolkit import Toolkit, current

FOLDER = Path("cassettes/talk")
CASES: list[dict[str, Any]] = [
    {"id": "greet", "prompt": "say hello", "contains": "hello"},
    {"id": "flow", "prompt": "say one two", "stream": True, "contains": "one two"},
    {"id": "tool", "prompt": "call it", "tool_call": "look"},
    {"id": "refused", "prompt": "too much", "error": "CLIENT_ERROR"},
]
TOOL = {"id": "c1", "function": {"name": "look", "arguments": '{"at": "sky"}'}}


@pytest.fixture
def toolkit() -> Toolkit:
    return current()


@pytest.fixture
def provider(toolkit: Toolkit) -> Iterator[MockProvider]:
    with MockProvider() as server:
        tk.providers.add("mock", base_url=server.base_url, local=True, test=False)
        yield server


def write_suite(cases: list[dict[str, Any]] = CASES, toml: str = "") -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "suite.toml").write_text(f'models = ["mock/m"]\nrepeats = 2\n{toml}')
    (FOLDER / "cases.yaml").write_text(yaml.safe_dump(cases))


def script(provider: MockProvider) -> None:
    provider.enqueue("hello there")
    provider.enqueue("one two three")
    provider.enqueue(tool_calls=[TOOL], finish_reason="tool_calls")
    provider.enqueue("that is too much", status=400)


@pytest.fixture
def recorded(toolkit: Toolkit, provider: MockProvider) -> MockProvider:
    """A suite of four cases, recorded and accepted."""
    write_suite()
    script(provider)
    record_regression(toolkit, "talk")
    assert run_regression(toolkit, "talk", accept=True).accepted == 4
    return provider


def verdicts(run: SuiteRun) -> dict[str, str]:
    return {verdict.run.case.name: verdict.verdict for verdict in run.verdicts}


def test_a_recorded_suite_replays_without_a_server(toolkit, recorded):
    asked = len(recorded.requests)
    run = run_regression(toolkit, "talk")
    assert verdicts(run) == dict.fromkeys(("greet", "flow", "tool", "refused"), "pass")
    assert run.passed
    assert run.sentence == "4 pass"
    assert len(recorded.requests) == asked
    rows = tk.calls(origin="regression", source="replay")
    assert len(rows) == 8  # accepted once, run once


def test_the_face_runs_suites(recorded):
    run = tk.regress("talk")
    assert str(run) == "talk (replay): 4 pass"
    assert list(run.frame()["verdict"]) == ["pass"] * 4


def test_a_changed_prompt_is_told_by_case_and_place(toolkit, recorded):
    """The prompt is broken on purpose: exactly that case can no longer be judged offline."""
    changed = [{**case} for case in CASES]
    changed[0]["prompt"] = "say goodbye"
    write_suite(changed)
    run = run_regression(toolkit, "talk")
    assert verdicts(run) == {"greet": "error", "flow": "pass", "tool": "pass", "refused": "pass"}
    assert not run.passed
    assert "recorded 'say hello', requested 'say goodbye'" in run.verdicts[0].reason


def test_a_changed_check_regresses_exactly_its_case(toolkit, recorded):
    changed = [{**case} for case in CASES]
    changed[1]["contains"] = "four"
    write_suite(changed)
    run = run_regression(toolkit, "talk")
    assert verdicts(run)["flow"] == "regressed"
    assert run.counts["pass"] == 3
    assert not run.passed
    assert run_regression(toolkit, "talk", accept=True).passed
    again = run_regression(toolkit, "talk")
    assert again.passed
    assert again.sentence == "4 pass (1 of them fail as accepted)"


def test_an_exchange_that_nobody_asks_for_is_counted(toolkit, recorded):
    path = FOLDER / "greet.yaml"
    with tk.cassette("talk/greet", mode="record"):
        recorded.enqueue("hello there")
        tk.complete("mock/m", "say hello")
        tk.complete("mock/m", "an extra one")
    assert len(read_cassette(path).exchanges) == 2
    run = run_regression(toolkit, "talk", only=["greet"])
    assert [verdict.run.unplayed for verdict in run.verdicts] == [1]


def add_keyed(provider: MockProvider, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("PROVIDER_KEYED_KEY", key)
    monkeypatch.setenv("PROVIDER_KEYED_URL", provider.base_url)
    tk.providers.add("keyed", base_url=provider.base_url, local=True, test=False)


def test_no_key_is_needed_to_replay(toolkit, provider, monkeypatch):
    add_keyed(provider, monkeypatch, "sk-" + "k" * 30)
    write_suite([{"id": "a", "prompt": "x", "models": ["keyed/m"], "contains": "x"}])
    record_regression(toolkit, "talk")
    assert provider.requests[-1].headers["authorization"] == "Bearer sk-" + "k" * 30
    monkeypatch.delenv("PROVIDER_KEYED_KEY")
    assert run_regression(toolkit, "talk").counts == {"new": 1}
    assert "k" * 30 not in (FOLDER / "a.yaml").read_text()


def test_live_asks_again_and_tells_regressed_fixed_and_flaky(toolkit, provider):
    """The mock provider echoes the prompt, so a prompt decides what comes back."""

    def write(breaks: str, mends: str) -> None:
        prompts = {"breaks": breaks, "mends": mends, "stays": "good", "wavers": "good"}
        cases = [{"id": k, "prompt": v, "contains": "good"} for k, v in prompts.items()]
        write_suite(cases, "[defaults]\ntemperature = 0.5\n")

    write("good", "bad")
    assert run_regression(toolkit, "talk", live=True, accept=True).counts == {"new": 4}
    write("bad", "good")
    run = run_regression(toolkit, "talk", live=True)
    told = {"breaks": "regressed", "mends": "fixed", "stays": "pass", "wavers": "pass"}
    assert verdicts(run) == told
    assert not run.passed
    assert run.sentence.startswith("1 regressed, 1 fixed, 2 pass, p = 1, too few cases")
    provider.enqueue("good")
    provider.enqueue("nothing of it")
    again = run_regression(toolkit, "talk", live=True, only=["wavers"])
    assert (again.counts, again.passed) == ({"flaky": 1}, True)
    assert len(tk.calls(origin="regression", source="live")) == 18


def test_drift_tells_a_changed_model_from_a_changed_prompt(toolkit, provider):
    cases: list[dict[str, Any]] = [
        {"id": name, "prompt": name, "contains": name} for name in ("kept", "edited")
    ]
    write_suite(cases)
    run_regression(toolkit, "talk", live=True, accept=True)
    cases[1]["prompt"] = "edited, please"
    write_suite(cases, "[defaults]\n")
    found = {v.run.case.name: v.drift for v in run_regression(toolkit, "talk", live=True).verdicts}
    assert found == {"kept": (), "edited": ("the prompt or its parameters changed",)}
    toolkit.store.append_many(
        "model_changes",
        [
            {
                "change_id": "1",
                "changed_at": "2099-01-01T00:00:00Z",
                "model": "mock/m",
                "kind": "price",
                "field": "input_usd",
                "old": "1",
                "new": "2",
            }
        ],
    )
    told = run_regression(toolkit, "talk", live=True).verdicts[0].drift
    assert told == ("catalog, 2099-01-01: input_usd: 1 became 2",)


def test_every_verdict_is_a_row(toolkit, recorded):
    run = run_regression(toolkit, "talk")
    rows = toolkit.store.rows(
        "SELECT * FROM regressions WHERE run_id = ? ORDER BY verdict_id", (run.run_id,)
    )
    assert [row["case_name"] for row in rows] == ["greet", "flow", "tool", "refused"]
    first = rows[0]
    assert (first["verdict"], first["mode"], first["model"]) == ("pass", "replay", "mock/m")
    assert (first["repeats"], first["passes"], first["provider"]) == (1, 1, "mock")
    # the time is that of the recording, not of the replay
    metadata = read_cassette(FOLDER / "greet.yaml").metadata
    assert first["duration_ms"] == pytest.approx(metadata["measured"]["mock/m"]["duration_ms"])


def test_a_case_whose_call_fails_unexpectedly_is_not_recorded(toolkit, provider):
    write_suite(CASES[:1])
    provider.enqueue("no", status=401)
    with pytest.raises(CassetteError, match="greet was not recorded"):
        record_regression(toolkit, "talk")
    assert not (FOLDER / "greet.yaml").exists()


def test_a_broken_baseline_is_a_clear_error(toolkit, recorded):
    for content in ("{", "[]", '{"format": 9}', '{"format": 1, "replay": [{}]}'):
        (FOLDER / "baseline.json").write_text(content)
        with pytest.raises(InvalidInput, match="baseline"):
            run_regression(toolkit, "talk")


# ---- reports --------------------------------------------------------------------------------


def test_junit_counts_and_escapes(toolkit, recorded):
    changed = [{**case} for case in CASES]
    changed[0] |= {"prompt": "say <b>\x07", "contains": "<&>"}
    changed[1]["contains"] = "]]> \x00 four"
    write_suite(changed)
    suite = ElementTree.fromstring(render_junit(run_regression(toolkit, "talk")))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "1", "1")
    tags = {case.get("name"): [part.tag for part in case] for case in suite.iter("testcase")}
    assert tags["flow [mock/m]"] == ["failure"]
    assert tags["greet [mock/m]"] == ["error"]
    assert tags["tool [mock/m]"] == []


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_report_shows_model_output_as_text_and_the_words_that_changed(toolkit, provider):
    write_suite([{"id": "a", "prompt": "<script>1</script>", "contains": "sat"}])
    provider.enqueue("the <img src=x onerror=alert(1)> cat sat")
    record_regression(toolkit, "talk")
    run_regression(toolkit, "talk", accept=True)
    provider.enqueue("the <img src=x onerror=alert(1)> dog ran")
    record_regression(toolkit, "talk")
    text = render_report(run_regression(toolkit, "talk"))
    parsed = _Tags()
    parsed.feed(text)
    assert not {"script", "img", "link", "iframe"} & set(parsed.tags)
    assert not parsed.links
    assert "&lt;img src=x onerror=alert(1)&gt;" in "".join(text.split("<del>")[:1]) or "img" in text
    assert "<del>cat sat</del><ins>dog ran</ins>" in text
    assert "▼ 1 regressed" in text


# ---- from a row -----------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_row_becomes_a_case_that_replays(toolkit, provider, stream):
    provider.enqueue(chunks=["once ", "upon ", "a time"], chunk_delay_s=0.02)
    if stream:
        with tk.stream("mock/m", "a tale", temperature=0.3) as pieces:
            list(pieces)
        call_id = pieces.reply.call_id
    else:
        call_id = tk.complete("mock/m", "a tale", temperature=0.3).call_id
    asked = len(provider.requests)
    cassette, cases = make_case(toolkit, call_id, suite="tales", name="tale")
    assert (cassette, cases) == (
        Path("cassettes/tales/tale.yaml"),
        Path("cassettes/tales/cases.yaml"),
    )
    run = run_regression(toolkit, "tales")
    assert run.counts == {"new": 1}
    assert run.passed, run.verdicts[0].reason
    assert run.verdicts[0].run.trials[0].text == "once upon a time"
    assert len(provider.requests) == asked
    content = read_cassette(cassette)
    assert content.metadata["rebuilt_from"] == call_id
    assert len(content.exchanges[0].chunks) > 3 if stream else True


def test_tool_calls_and_errors_become_cases_too(toolkit, provider):
    provider.enqueue(tool_calls=[TOOL], finish_reason="tool_calls")
    called = tk.complete("mock/m", "call it").call_id
    provider.enqueue("too much of it", status=400)
    with pytest.raises(tk.errors.InvalidRequest) as caught:
        tk.complete("mock/m", "refuse it")
    failed = caught.value.attempts[-1].call_id
    for name, call_id in (("tool", called), ("refused", failed)):
        make_case(toolkit, call_id, suite="odd", name=name)
    run = run_regression(toolkit, "odd")
    assert run.passed, [v.reason for v in run.verdicts]
    assert run.verdicts[0].run.trials[0].tool_calls == (("look", '{"at": "sky"}'),)
    assert run.verdicts[1].run.trials[0].error_code == "CLIENT_ERROR"


@pytest.mark.parametrize(("type_", "path"), [("anthropic-compatible", ""), ("gemini", "/v1beta")])
@pytest.mark.parametrize("stream", [False, True])
def test_rows_of_other_languages_become_cases(toolkit, provider, type_, path, stream):
    url = provider.origin + path
    tk.providers.add("other", base_url=url, type=type_, local=True, test=False)
    options = {"max_tokens": 9, "api_key": "k" * 24}
    provider.enqueue("an answer in pieces")
    if stream:
        with tk.stream("other/m", "speak", **options) as pieces:
            list(pieces)
        call_id = pieces.reply.call_id
    else:
        call_id = tk.complete("other/m", "speak", **options).call_id
    make_case(toolkit, call_id, suite="tongues", name="one")
    run = run_regression(toolkit, "tongues")
    assert run.passed, run.verdicts[0].reason
    assert run.verdicts[0].run.trials[0].text == "an answer in pieces"


def test_what_cannot_become_a_case_says_why(toolkit, provider):
    with pytest.raises(InvalidInput, match="there is no call"):
        make_case(toolkit, "nothing", suite="s")
    call_id = tk.complete("mock/m", "hello").call_id
    make_case(toolkit, call_id, suite="s", name="a")
    with pytest.raises(InvalidInput, match="there already"):
        make_case(toolkit, call_id, suite="s", name="a")
    for suite, name in (("s", "../a"), ("..", "a"), ("s", "cases/x")):
        with pytest.raises(InvalidInput):
            make_case(toolkit, call_id, suite=suite, name=name)
    provider.enqueue(drop_after=0, times=9)
    with pytest.raises(tk.errors.CallError) as caught:
        tk.complete("mock/m", "gone", timeout_s=20)
    with pytest.raises(InvalidInput, match="no answer to keep"):
        make_case(toolkit, caught.value.attempts[-1].call_id, suite="s", name="b")


def test_a_second_case_is_added_below_what_stands_there(toolkit, provider):
    for name in ("a", "b"):
        make_case(toolkit, tk.complete("mock/m", name).call_id, suite="s", name=name)
    cases = Path("cassettes/s/cases.yaml")
    cases.write_text("# by hand\n" + cases.read_text())
    make_case(toolkit, tk.complete("mock/m", "c").call_id, suite="s", name="c")
    assert cases.read_text().startswith("# by hand\n")
    assert [case["id"] for case in yaml.safe_load(cases.read_text())] == ["a", "b", "c"]
    assert run_regression(toolkit, "s").passed


# ---- secrets --------------------------------------------------------------------------------


def test_a_planted_key_is_in_no_byte_of_cassettes_and_baseline(toolkit, provider, monkeypatch):
    """Recorded, replayed, accepted, reported, turned into a case: the key is nowhere."""
    from toolkit.replay.cassettes.scrub import written_forms

    key = "sk-" + "canary" * 5
    add_keyed(provider, monkeypatch, key)
    write_suite([{"id": "a", "prompt": f"is {key} mine?", "models": ["keyed/m"], "regex": "."}])
    provider.enqueue(f"yes, {key} is yours")
    record_regression(toolkit, "talk")
    run = run_regression(toolkit, "talk", accept=True)
    Path("report.html").write_text(render_report(run))
    Path("junit.xml").write_text(render_junit(run))
    cases = FOLDER / "cases.yaml"
    cases.unlink()  # the prompt itself was planted there by hand
    reports = [Path("report.html"), Path("junit.xml")]
    for path in [*FOLDER.rglob("*"), *reports]:
        if path.is_file() and path not in reports:
            text = path.read_bytes().decode("latin-1")
            assert not [form for form in written_forms(key) if form in text], path
    assert run.counts == {"new": 1}


def test_json_output_is_plain(recorded):
    from toolkit.replay.regression.suite_run import verdict_facts

    run = tk.regress("talk")
    assert json.loads(json.dumps([verdict_facts(v) for v in run.verdicts]))[0]["case"] == "greet"
    assert sys.modules["toolkit"] is tk


# ---- the call path under a cassette ---------------------------------------------------------


def test_a_recorded_retry_is_replayed_without_its_wait(toolkit, provider):
    """429 with a wait of two seconds, then an answer: both are played, no time is lost."""
    provider.enqueue("slow down", status=429, headers={"retry-after": "2"})
    provider.enqueue("now")
    with tk.cassette("talk/patient") as opened:
        assert tk.complete("mock/m", "quick").text == "now"
        assert len(opened) == 2
    began = time.monotonic()
    with tk.cassette("talk/patient", mode="replay") as opened:
        reply = tk.complete("mock/m", "quick")
        assert not opened.unplayed
    assert time.monotonic() - began < 2  # the recorded wait itself
    assert (reply.text, len(reply.attempts)) == ("now", 2)
    rows = tk.calls()
    assert sorted(rows["source"]) == ["record", "record", "replay", "replay"]


def test_replayed_failures_do_not_close_a_provider(toolkit, provider):
    """A suite of recorded server errors must not trip the breaker of the real provider."""
    toolkit.providers.registry.update("mock", max_retries=0)
    provider.enqueue("down", status=500)
    with tk.cassette("talk/down"), pytest.raises(tk.errors.CallError):
        tk.complete("mock/m", "x")
    for _ in range(20):
        with tk.cassette("talk/down", mode="replay"), pytest.raises(tk.errors.CallError):
            tk.complete("mock/m", "x")
    assert len(provider.requests) == 1
    assert tk.complete("mock/m", "alive?").text == "You said: alive?"


def test_a_request_that_a_cassette_does_not_hold_has_a_row_and_no_retry(toolkit, provider):
    with tk.cassette("talk/one"):
        tk.complete("mock/m", "known")
    for stream in (False, True):
        with (
            pytest.raises(tk.errors.CassetteMissing, match="'known', requested 'unknown'"),
            tk.cassette("talk/one", mode="replay"),
        ):
            if stream:
                list(tk.stream("mock/m", "unknown"))
            tk.complete("mock/m", "unknown")
    rows = tk.calls(source="replay")
    assert list(rows["error_code"]) == ["CASSETTE_MISSING"] * 2
    assert list(rows["status"]) == ["error"] * 2
    assert len(provider.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_plain_litellm_is_recorded_and_played(toolkit, provider, stream, is_async):
    """Existing code that calls litellm itself, by its own transports."""
    from toolkit.calls.adapters import library

    litellm = library.load()
    options = {
        "model": "openai/m",
        "api_base": provider.base_url,
        "api_key": "k" * 20,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": stream,
        "max_retries": 0,
    }

    async def ask_later() -> str:
        got = await litellm.acompletion(**options)
        if not stream:
            return str(got.choices[0].message.content)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in got])

    def ask() -> str:
        if is_async:
            return asyncio.run(ask_later())
        got = litellm.completion(**options)
        if not stream:
            return str(got.choices[0].message.content)
        return "".join(chunk.choices[0].delta.content or "" for chunk in got)

    with tk.cassette("plain/litellm", secrets=()) as opened:
        recorded = ask()
        assert len(opened) == 1
    with tk.cassette("plain/litellm", mode="replay", secrets=()) as opened:
        assert ask() == recorded == "You said: hi"
        assert not opened.unplayed
    assert len(provider.requests) == 1
