"""What a user gives and we run ends, and nothing else waits for it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.evals.test_scorers import answer
from toolkit.errors import InvalidInput
from toolkit.evals import scorers
from toolkit.evals.bounded import BoundedPattern, TookTooLong, call_bounded
from toolkit.evals.scorers import score
from toolkit.evals.scoring.scoring import score_answer

ENDLESS = "(a|aa)+$"
TEXT = "a" * 60 + "b"
# About 7 s without a limit: a search that goes to its end shows that there was none.
LONG_TEXT = "a" * 32 + "b"


def test_a_pattern_that_backtracks_without_end_is_stopped_and_named():
    with pytest.raises(TookTooLong, match=r"\(a\|aa\)\+\$"):
        BoundedPattern(ENDLESS, timeout_s=0.05).matches(LONG_TEXT)


def test_flags_of_re_mean_the_same():
    import re

    assert BoundedPattern("^B$", re.MULTILINE | re.IGNORECASE).matches("a\nb")
    assert not BoundedPattern("^b$").matches("a\nb")
    with pytest.raises(InvalidInput, match="not a regular expression"):
        BoundedPattern("(")


def test_a_scorer_whose_pattern_does_not_end_cannot_score_and_holds_up_nothing():
    async def both() -> tuple[scorers.Score, int]:
        slow = asyncio.create_task(
            score_answer(scorers.regex(ENDLESS, timeout_s=0.3), answer(TEXT))
        )
        turns = 0
        while not slow.done():
            await asyncio.sleep(0)
            turns += 1
        return await slow, turns

    found, turns = asyncio.run(both())
    assert found.value is None and found.details["code"] == "SCORER_TIMEOUT"
    assert turns > 100


def test_patterns_of_a_schema_are_bounded_and_references_are_not_fetched():
    endless = scorers.json_schema({"properties": {"a": {"type": "string", "pattern": ENDLESS}}})
    found = score(endless, answer(f'{{"a": "{TEXT}"}}'))
    assert found.details["code"] == "SCORER_TIMEOUT"
    names = scorers.json_schema({"patternProperties": {"^n": {"type": "number"}}})
    assert score(names, answer('{"n1": 1}')).value == 1
    assert score(names, answer('{"n1": "x"}')).value == 0
    remote = scorers.json_schema({"$ref": "http://127.0.0.1:9/schema.json"})
    assert "Unresolvable" in score(remote, answer("{}")).error


def test_a_function_that_never_returns_is_left_behind():
    ended = threading.Event()

    def endless(_: object) -> float:
        ended.wait(20)
        return 1.0

    endless.timeout_s = 0.05
    found = asyncio.run(score_answer(endless, answer("x")))
    ended.set()
    assert found.value is None and found.details["code"] == "SCORER_TIMEOUT"
    assert "endless took longer than 0.05 s" in found.error


def test_a_function_keeps_its_result_and_its_error():
    assert asyncio.run(call_bounded(lambda a: a + 1, 1)) == 2
    with pytest.raises(ZeroDivisionError):
        asyncio.run(call_bounded(lambda: 1 / 0))
    with pytest.raises(TimeoutError, match="its own"):
        asyncio.run(call_bounded(_raise_timeout))


def _raise_timeout() -> None:
    raise TimeoutError("its own")
