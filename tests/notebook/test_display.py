"""Cards show what an object holds and nothing that a hostile text asks for."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest

import toolkit as tk
from tests.servers import MockProvider
from toolkit.compare.board_result import Board
from toolkit.compare.pane import Pane
from toolkit.display import Card
from toolkit.providers.checks import CheckResult, ProbeResult
from toolkit.records import Receipt, Reply, Timing, ToolCall, Usage
from toolkit.settings import Settings

HOSTILE = (
    "<script>alert(1)</script><img src=http://127.0.0.1/x onerror=alert(1)>"
    "![x](http://127.0.0.1/p.png) ````\n```html\n<b>raw</b>\n\x1b[2J\u202eevil $x$"
)
_TAG = re.compile(r"<\s*/?\s*(\w+)")
_ALLOWED = {"div", "b", "span", "table", "thead", "tbody", "tr", "th", "td"}


def _reply(text: str) -> Reply:
    return Reply(
        text=text,
        model=f"mock/{text}",
        call_id="c",
        request_id="r",
        finish_reason=text,
        tool_calls=(ToolCall(id="1", name=text, arguments={"a": text}),),
        notes=(text,),
        usage=Usage(input_tokens=1200, output_tokens=3),
        receipt=Receipt(cost_usd=Decimal("0.00012"), note=text),
        timing=Timing(headers_ms=10.0, ttft_ms=25.0, last_token_ms=100.0, duration_ms=101.0),
    )


def test_a_reply_shows_its_measurements_and_its_timeline():
    html, text = _reply("Hello")._repr_html_(), _reply("Hello")._card().plain()
    for shown in (html, text):
        assert "Hello" in shown and "1,200" in shown and "$0.00012" in shown and "25 ms" in shown
    assert "headers 10 ms → first token 15 ms → answer 75 ms → end 1 ms" in text
    unknown = Reply(text="x", model="m/x", call_id="c", request_id="r")._card().plain()
    assert "price unknown" in unknown and "None" not in unknown


def test_hostile_text_stays_text():
    reply = _reply(HOSTILE)
    html = reply._repr_html_()
    assert set(_TAG.findall(html)) <= _ALLOWED
    assert "mathjax_ignore" in html and "\x1b" not in html and "\u202e" not in html
    assert not re.search(r"<[^>]*\b(?:src|href|on\w+)\s*=", html)
    lines = reply._repr_markdown_().splitlines()
    fence = lines[0].removesuffix("text")
    assert set(fence) == {"`"} and lines[-1] == fence
    assert not [line for line in lines[1:-1] if line.strip().startswith(fence)]
    assert "\x1b" not in reply._card().plain()


def test_a_table_of_a_card_is_cut_and_says_so():
    card = Card(title="t", rows=[{"n": i, "text": "<b>"} for i in range(100)])
    assert "40 more rows" in card.html() and "40 more rows" in card.plain()
    assert "<td>&lt;b&gt;</td>" in card.html()


def test_what_is_public_has_a_view(home):
    with MockProvider() as server:
        server.enqueue("<i>one</i>", times=2)
        tk.providers.add("mock", base_url=server.base_url, local=True, test=False)
        board = tk.compare("Hi", ["mock/a", "mock/b"], max_tokens=5)
    estimate = tk.estimate("mock/a", "Hi", max_tokens=5)
    for shown in (
        *(tk.providers, tk.keys, tk.health, tk.catalog, tk.settings),
        *(estimate, board),
    ):
        html, markdown = shown._repr_html_(), shown._repr_markdown_()
        assert "<i>" not in html and markdown.startswith("```")
    assert "mock" in tk.providers._repr_html_()
    assert "0 models of 0 providers" in tk.catalog._repr_mimebundle_()["text/plain"]
    assert "<i>one</i>" in board._repr_markdown_(), "fenced, as it came"


_HUGE = "long " * 200_000
_HALF = "half \ud83d a character"


@pytest.mark.parametrize("text", [HOSTILE + " $x$", _HUGE, _HALF], ids=["hostile", "huge", "half"])
def test_a_board_is_as_safe_and_short_as_a_card(home, text):
    names = {"model": f"mock/{text}", "params": {"stop": text}}
    panes = tuple(
        Pane(pane_id=str(at), index=at, text=text, state="done", ttft_ms=5.0, **names)
        for at in range(8)
    )
    board = Board(board_id="b", created_at=datetime.now(UTC), prompt=text, panes=panes, store=None)
    html, markdown = board._repr_html_(), board._repr_markdown_()
    assert set(_TAG.findall(html)) <= _ALLOWED and "mathjax_ignore" in html
    assert not re.search(r"<[^>]*\b(?:src|href|on\w+)\s*=", html)
    for shown in (html, markdown):
        assert not set("\x1b\u202e\ud83d") & set(shown)
        assert len(shown.encode()) < 100_000
    assert markdown.count("TTFT") == 8, "every answer has a part of the card"


@pytest.mark.parametrize("text", [_HUGE, _HALF, "", "\n\t"], ids=["huge", "half", "empty", "blank"])
def test_every_part_of_a_card_is_cut_and_can_be_sent(text):
    card = Card(
        title=text, text=text, facts={"f": text}, rows=[{"c": text}], notes=[text], phases={"p": 0}
    )
    for shown in (card.html(), card.markdown(), card.plain()):
        assert len(shown.encode()) < 10_000


def test_a_connection_test_shows_its_four_answers():
    answers = {
        question: CheckResult(question=question, answer="works", reason=HOSTILE)
        for question in ("address", "reachable", "key", "model")
    }
    shown = ProbeResult(provider="mock", **answers, latency_ms=12.0)
    assert set(_TAG.findall(shown._repr_html_())) <= _ALLOWED
    plain = shown._repr_mimebundle_()["text/plain"]
    assert "key accepted" in plain and "12 ms" in plain and "\x1b" not in plain


def test_completion_offers_only_public_names():
    assert dir(tk) == sorted(tk.__all__)


def test_sql_takes_parameters_by_place_and_by_name(home):
    assert tk.sql("SELECT ? AS x", ["it's"])["x"][0] == "it's"
    assert tk.sql("SELECT $n + 1 AS x", {"n": 41})["x"][0] == 42
    with pytest.raises(tk.errors.StoreError):
        tk.sql("SELECT $n AS x", {"m": 41})


def test_options_are_completed_inside_the_brackets():
    """In a process of its own: the options are listed where IPython runs at the import."""
    code = (
        "import inspect, IPython, toolkit as tk\n"
        "for name, option in (('complete', 'timeout_s'), ('stream', 'temperature'),\n"
        "                     ('compare', 'panes'), ('embed', 'dimensions'),\n"
        "                     ('evaluate', 'scorers'), ('load_test', 'concurrency')):\n"
        "    assert option in inspect.signature(getattr(tk, name)).parameters, name\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.user_ns['tk'] = tk\n"
        "line = \"tk.complete('a/b', 'x', tempera\"\n"
        "from IPython.core.completer import provisionalcompleter\n"
        "with provisionalcompleter():  # what Jupyter asks\n"
        "    found = [one.text for one in shell.Completer.completions(line, len(line))]\n"
        "assert 'temperature=' in found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_catalog_shows_how_many_models_each_provider_lists(home):
    with MockProvider() as server:
        tk.providers.add("mock", base_url=server.base_url, local=True, test=False)
        tk.catalog.sync("mock")
    tk.catalog.disable("mock/mock-small")
    shown = tk.catalog._repr_mimebundle_()
    for form in shown.values():
        assert "3 models of 1 providers" in form and "UTC" in form
    assert re.search(r"mock +3 +2 +\d{4}-", shown["text/plain"])


def test_settings_show_what_was_changed_and_no_secret(home, monkeypatch):
    monkeypatch.setenv("TOOLKIT_MAX_RETRIES", "7")
    monkeypatch.setenv("TOOLKIT_STORE_TOKEN", "hush-hush-hush")
    monkeypatch.setenv("TOOLKIT_STORE", "ducklake:postgres:host=h password=hush dbname=d")
    monkeypatch.setenv("TOOLKIT_PROXY", "http://me:hush@127.0.0.1:1")
    shown = Settings()._repr_mimebundle_()
    for form in shown.values():
        assert "hush" not in form and "max_retries" in form and "recording" in form
    lines = shown["text/plain"].splitlines()
    assert re.match(r"\d of \d+ settings differ", lines[0])
    changed = [line.split()[0] for line in lines if line.endswith("  yes")]
    assert {"max_retries", "proxy", "store", "store_token"} <= set(changed)
    assert lines[2:][: len(changed)] == [line for line in lines if line.endswith("  yes")]
