"""Processors: in order going in, in reverse coming out, and always told of the end."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from toolkit.calls.pipeline import Pipeline
from toolkit.calls.processors import (
    BudgetCap,
    DefaultParams,
    InputTokenLimit,
    PromptTemplate,
    Redaction,
)
from toolkit.errors import BudgetExceeded, ContextWindowExceeded
from toolkit.records import Reply
from toolkit.workbench.ask import build_request


def request(text="hello", **options):
    return build_request("p/m", text, options)


REPLY = Reply(text="hi", call_id="c", request_id="r", model="p/m")


class Marker:
    def __init__(self, name, log, refuse=False):
        self.name, self.log, self.refuse = name, log, refuse

    def before(self, asked):
        self.log.append(f"before {self.name}")
        if self.refuse:
            raise BudgetExceeded("no")
        return asked

    def after(self, asked, reply):
        self.log.append(f"after {self.name}")
        return replace(reply, text=reply.text + self.name)

    def ended(self, asked, attempts):
        self.log.append(f"ended {self.name}")


def test_the_order_is_first_to_last_and_back():
    log = []
    passage = Pipeline([Marker("1", log), object(), Marker("2", log)]).enter(request())
    assert passage.finish(REPLY).text == "hi21"
    passage.leave(())
    assert log == ["before 1", "before 2", "after 2", "after 1", "ended 2", "ended 1"]


def test_a_refusal_ends_those_that_were_passed_and_no_other():
    log = []
    with pytest.raises(BudgetExceeded):
        Pipeline([Marker("1", log), Marker("2", log, refuse=True)]).enter(request())
    assert log == ["before 1", "before 2", "ended 1"]


def test_an_input_over_the_limit_is_refused():
    limit = InputTokenLimit(10)
    limit.before(request("x" * 20))
    with pytest.raises(ContextWindowExceeded, match="limit set here is 10"):
        limit.before(request("x" * 100))


def test_redaction_reaches_texts_and_parts():
    cleaner = Redaction({r"\b\d{4}\b": "####"})
    assert cleaner.before(request("pin 1234")).messages[0]["content"] == "pin ####"
    parts = [{"type": "text", "text": "1234"}, {"type": "image_url", "image_url": {"url": "x"}}]
    cleaned = cleaner.before(build_request("p/m", [{"role": "user", "content": parts}], {}))
    assert cleaned.messages[0]["content"][0]["text"] == "####"
    assert cleaned.messages[0]["content"][1] == parts[1]


def test_default_parameters_yield_to_the_requests_own():
    params = DefaultParams({"temperature": 0, "seed": 1}).before(request(temperature=1)).params
    assert params == {"temperature": 1, "seed": 1}


def test_a_template_is_for_its_provider():
    form = PromptTemplate(provider="p", user="Q: {text}\nA:", system="Be brief.")
    filled = form.before(request("why?")).messages
    assert [m["content"] for m in filled] == ["Be brief.", "Q: why?\nA:"]
    other = build_request("q/m", "why?", {})
    assert form.before(other) is other


def test_a_budget_holds_with_calls_in_flight_and_gives_back():
    cap = BudgetCap(Decimal("1.00"), lambda: Decimal("0.50"), lambda asked: Decimal("0.30"))
    first, second = request(), request()
    cap.before(first)
    with pytest.raises(BudgetExceeded, match=r"\$0.800000 is spent or reserved"):
        cap.before(second)
    cap.ended(first, ())
    cap.before(second)


def test_a_cap_of_zero_lets_only_unpriced_calls_through():
    priced = BudgetCap(Decimal(0), lambda: Decimal(0), lambda asked: Decimal("0.0001"))
    with pytest.raises(BudgetExceeded):
        priced.before(request())
    BudgetCap(Decimal(0), lambda: Decimal(0), lambda asked: None).before(request())
