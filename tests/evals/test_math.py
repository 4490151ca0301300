"""The `math` scorer: symbolic equality, in a process with limits."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from tests.evals.test_scorers import answer
from toolkit.evals import scorers
from toolkit.evals.scoring.scoring import score_answer

pytest.importorskip("sympy", reason="the extra `math` is not installed")
from toolkit.evals.scoring import sympy_worker
from toolkit.evals.scoring.sympy_worker import compare


@pytest.mark.parametrize(
    ("given", "target", "is_equal"),
    [
        (r"\frac{1}{2}", "0.5", True),
        (r"\frac12", "1/2", True),
        ("x^2-1", "(x-1)(x+1)", True),
        (r"\sqrt{8}", r"2\sqrt{2}", True),
        (r"\frac{1}{23}", r"\frac{12}{3}", False),
        ("x=3", "3", True),
        ("-5", "5", False),
        ("2\\pi", "2π", True),
        ("(1,2)", "(1, 2)", True),
        ("(1,2)", "(2,1)", False),
        (r"\sin^2 x + \cos^2 x", "1", True),
        ("y=2x+1", "y - 2x = 1", True),
        (r"\frac{\sqrt{3}}{2}", r"\frac{3}{2\sqrt{3}}", True),
        (r"50\%", "50", True),
        ("0.333", "1/3", False),
        (r"12\text{ cm}", "12", True),
        (r"30^\circ", "30", True),
        ("9^9^9^9", "3", False),
        ("__import__('os').system('true')", "1", False),
        ("", "1", False),
    ],
)
def test_formulas_are_compared_by_what_they_mean(given, target, is_equal):
    assert compare(given, target) is is_equal


def grade(text, target, **options):
    return asyncio.run(score_answer(scorers.math(**options), answer(text, target)))


def test_the_formula_of_an_answer_is_found_and_compared():
    assert grade(r"Thus $x = \boxed{\frac{2}{4}}$, as was shown in 3 steps.", "1/2").value == 1
    assert grade("The answer is $(x+1)^2$.", "x^2+2x+1").value == 1
    assert grade("The answer is $x^2$.", "x^3").value == 0
    unread = grade("I do not know.", "1")
    assert unread.value == 0 and unread.is_unreadable


def test_a_comparison_that_takes_too_long_is_stopped_and_the_next_one_works():
    # Both sides are multiplied out: 635,376 terms, minutes of work on any machine.
    found = grade("\\boxed{(a+b+c+d+f)^60 = 1}", "(a+b+c+d+f)^61 = 1", timeout_s=0.5)
    assert found.value is None and found.details["code"] == "SCORER_TIMEOUT"
    assert grade("\\boxed{2+2}", "4", timeout_s=20.0).value == 1


def test_a_comparison_that_needs_too_much_memory_is_an_error_not_a_wrong_answer(monkeypatch):
    def hungry(answer, target):
        raise MemoryError

    lines = io.StringIO('{"answer": "1", "targets": ["2"]}\n')
    printed = io.StringIO()
    monkeypatch.setattr(sympy_worker, "_limit_memory", lambda: None)
    monkeypatch.setattr(sympy_worker, "compare", hungry)
    monkeypatch.setattr("sys.stdin", lines)
    monkeypatch.setattr("sys.stdout", printed)
    sympy_worker.main()
    assert "equal" not in json.loads(printed.getvalue().splitlines()[1])
