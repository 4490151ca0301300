"""Options that make no sense are refused before anything is sent; bounds have defaults."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.servers import MockProvider
from toolkit.calls.chat_request import build_request
from toolkit.errors import InvalidInput, ToolkitError
from toolkit.load_test.load_config import read_objective
from toolkit.load_test.prompts import SyntheticPrompts
from toolkit.pricing.token_estimate import count_input_tokens
from toolkit.toolkit import Toolkit

from .conftest import MODEL


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"concurrency": 2, "rate": 1}, "together"),
        ({"rate": 1, "sweep": True}, "together"),
        ({"requests": 5, "seconds": 5}, "not both"),
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": 1.5}, "whole"),
        ({"concurrency": []}, "no value"),
        ({"concurrency": 5_000}, "up to"),
        ({"rate": -1}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": "fast"}, "rate"),
        ({"rate": 1_000}, "max_rate"),
        ({"requests": 5_000}, "max_requests"),
        ({"requests": 500, "repeats": 3}, "max_requests"),
        ({"requests": True}, "requests"),
        ({"warmup": -1}, "warmup"),
        ({"arrival": "gamma", "rate": 1}, "arrival"),
        ({"objectives": {"speed": 5}}, "speed"),
        ({"objectives": {"ttft": 0}}, "above 0"),
        ({"input_tokens": 10, "prefix_tokens": 9}, "prefix"),
        ({"max_usd": "much"}, "max_usd"),
        ({"max_usd": -1}, "max_usd"),
        ({"max_seconds": 0}, "max_seconds"),
        ({"conurrency": 4}, "conurrency"),
        ({"dataset": ["Hi"], "input_tokens": 5}, "own length"),
        ({"dataset": [{"input": {"city": "Paris"}}]}, "template"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_sent(
    toolkit: Toolkit, server: MockProvider, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        toolkit.load_tests.run(MODEL, **options)
    assert said in f"{caught.value.message} {caught.value.hint}"
    assert not server.requests and toolkit.load_tests.list() == []


def test_every_bound_has_a_default(toolkit: Toolkit) -> None:
    bounds = toolkit.load_tests.configure(MODEL).bounds
    assert (bounds.max_requests, bounds.max_seconds, bounds.max_rate) == (1_000, 600, 100)
    assert bounds.max_usd is None and bounds.max_consecutive_errors == 20


def test_a_cloud_provider_needs_a_bound_on_the_cost_and_a_price(toolkit: Toolkit) -> None:
    toolkit.providers.registry.add("cloud", base_url="https://llm.example.com/v1")
    with pytest.raises(InvalidInput, match="cloud provider") as caught:
        toolkit.load_tests.configure("cloud/m")
    assert "--max-usd" in (caught.value.hint or "")
    with pytest.raises(InvalidInput, match="no price"):
        toolkit.load_tests.configure("cloud/m", max_usd=1)
    config = toolkit.load_tests.configure("cloud/m", max_usd="0.5", allow_unpriced=True)
    assert config.bounds.max_usd == Decimal("0.5") and config.bounds.max_rate == 10
    with pytest.raises(InvalidInput, match="at most 10"):
        toolkit.load_tests.configure("cloud/m", max_usd=1, allow_unpriced=True, rate=11)


def test_only_a_provider_that_is_named_and_known_is_called(toolkit: Toolkit) -> None:
    with pytest.raises(ToolkitError, match="nobody"):
        toolkit.load_tests.configure("nobody/m")


def test_a_rate_above_the_toolkits_own_limit_is_refused(toolkit: Toolkit) -> None:
    toolkit.providers.registry.update("mock", rpm=60)
    with pytest.raises(InvalidInput, match="own rate limit") as caught:
        toolkit.load_tests.configure(MODEL, rate=2)
    assert "--rpm" in (caught.value.hint or "")
    config = toolkit.load_tests.configure(MODEL, rate=1)
    assert config.own_limit == 1.0
    assert "1 requests/s" in toolkit.load_tests.estimate_config(config).sentence()


def test_a_trace_keeps_the_bound_on_the_rate_in_its_busiest_time(
    toolkit: Toolkit, tmp_path: Path
) -> None:
    file = tmp_path / "burst.jsonl"
    file.write_text("\n".join(f'{{"at_s": {i / 200}}}' for i in range(300)), "utf-8")
    with pytest.raises(InvalidInput, match="at most 100"):
        toolkit.load_tests.configure(MODEL, trace=file)
    slower = toolkit.load_tests.configure(MODEL, trace=file, trace_speed=0.25)
    assert slower.planned == 301 and slower.steps[0].warmup == 0
    with pytest.raises(InvalidInput, match="own number"):
        toolkit.load_tests.configure(MODEL, trace=file, requests=5)


def test_defaults_of_steps_grow_with_what_is_in_flight(toolkit: Toolkit) -> None:
    closed = toolkit.load_tests.configure(MODEL, concurrency=[1, 32]).steps
    assert [(step.requests, step.warmup) for step in closed] == [(50, 1), (128, 32)]
    opened = toolkit.load_tests.configure(MODEL, rate=[1, 5]).steps
    assert [(step.requests, step.warmup) for step in opened] == [(50, 3), (50, 3)]
    timed = toolkit.load_tests.configure(MODEL, rate=[2, 5], seconds=10)
    assert [step.requests for step in timed.steps] == [20, 50] and timed.planned == 76
    assert toolkit.load_tests.configure(MODEL, concurrency=2, seconds=10).planned is None
    assert [s.target for s in toolkit.load_tests.configure(MODEL, sweep=True).steps][-1] == 64


def test_an_objective_of_the_command_line_is_a_name_and_milliseconds() -> None:
    assert read_objective("TTFT:500") == ("ttft", 500.0)
    with pytest.raises(InvalidInput, match="ttft:500"):
        read_objective("ttft")


@pytest.mark.parametrize(("wanted", "prefix"), [(16, 0), (128, 0), (300, 100)])
def test_synthetic_prompts_have_the_length_that_was_asked_for(wanted: int, prefix: int) -> None:
    source = SyntheticPrompts(
        "openai/gpt-5-mini",
        input_tokens=wanted,
        prefix_tokens=prefix,
        output_tokens=9,
        is_exact=True,
    )
    texts = []
    for index in range(5):
        prompt = source.prompt(index)
        counted, _ = count_input_tokens(build_request("openai/gpt-5-mini", prompt.messages, {}))
        assert abs(counted - wanted) <= 1 and prompt.output_tokens == 9
        texts.append(str(prompt.messages[0]["content"]))
    assert len(set(texts)) == 5 and texts[0] == source.prompt(0).messages[0]["content"]
    shared = len(texts[0]) - len(texts[0].lstrip())
    while all(text[: shared + 1] == texts[0][: shared + 1] for text in texts):
        shared += 1
    assert (shared > 300) == (prefix == 100)


def test_the_length_is_flagged_unless_the_tokenizer_is_that_of_the_provider() -> None:
    lengths = {"input_tokens": 50, "output_tokens": 5}
    guess = SyntheticPrompts("mock/mock-model", **lengths)
    assert guess.is_approximate and "about 50" in guess.basis
    exact = SyntheticPrompts("openai/gpt-5-mini", **lengths, is_exact=True)
    assert exact.is_approximate == ("tokenizer" not in exact.basis)
