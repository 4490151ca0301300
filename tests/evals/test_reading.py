"""A run is read as it was: newest rows, each answer once, filters that keep what they name."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evals.answers import AT, failed, row, skipped, two_models
from toolkit.evals.results.cell_values import say_value
from toolkit.evals.results.matrix import find_sample, read_matrix
from toolkit.evals.results.run_results import (
    cell_score,
    compare_within,
    join_runs,
    keep_samples,
    percentile,
    summarize_sides,
)
from toolkit.stats.proportion import wilson_interval

A, B = ("mock/a", "plain"), ("mock/b", "plain")


def kept(rows, chosen, scorer="exact"):
    return [sample.sample_id for sample in keep_samples(read_matrix(rows), chosen, scorer)]


def test_the_matrix_has_a_line_per_sample_and_a_column_per_model_and_variant():
    matrix = read_matrix(two_models())
    assert matrix.sides == (A, B) and matrix.names == {A: "mock/a", B: "mock/b"}
    assert [s.sample_id for s in matrix.samples] == [f"q{n}" for n in range(1, 21)]
    assert cell_score(matrix.samples[0].cells[A], "exact") == 0
    assert cell_score(matrix.samples[0].cells[B], "exact") == 1
    assert cell_score(matrix.samples[-1].cells[B], "exact") is None


def test_each_filter_keeps_what_it_names():
    rows = [row(1), row(1, "mock/b"), row(2, score=0.0), row(2, "mock/b"), row(3)]
    rows += [failed(3, "mock/b"), row(4, score=0.0), row(4, "mock/b", 0.0)]
    assert kept(rows, "all") == ["q1", "q2", "q3", "q4"]
    assert kept(rows, "failed") == ["q2", "q4"]
    assert kept(rows, "different") == ["q2"]
    assert kept(rows, "errors") == ["q3"]


def test_repeats_that_disagree_are_different_and_their_mean_is_the_cells():
    rows = [row(1, epoch=1), row(1, epoch=2, score=0.0)]
    assert kept(rows, "different") == ["q1"]
    assert cell_score(read_matrix(rows).samples[0].cells[A], "exact") == 0.5


def test_without_a_scorer_answers_differ_by_their_text():
    bare = {"scorer": None, "score": None}
    rows = [row(1, "mock/a", **bare, output="x"), row(1, "mock/b", **bare, output="y")]
    assert kept(rows, "different", None) == ["q1"] and kept(rows, "errors", None) == []


def test_a_score_made_later_counts_in_place_of_the_first():
    rows = [row(1, score=0.0), row(1, score=1.0, scored_at=AT + timedelta(hours=1))]
    (sample,) = read_matrix(rows[::-1]).samples
    assert [j.score for j in sample.cells[A][0].judgements] == [1.0]


def test_a_failed_call_counts_no_more_once_the_answer_came():
    rows = [failed(1), row(1, scored_at=AT + timedelta(hours=1))]
    (told,) = read_matrix(rows).answers
    assert told.error_code is None and told.output == "yes" and not told.is_error


def test_an_answer_that_a_cap_left_out_is_no_failure_no_score_and_no_call():
    rows = [row(1, scorer=s) for s in ("exact", "fuzzy")] + [failed(2), skipped(3), skipped(4)]
    rows += [row(4, scored_at=AT + timedelta(hours=1))]
    for entry in summarize_sides(rows)[:1]:
        assert (entry["mean"], entry["n"], entry["answers"]) == (1.0, 2, 2)
        assert (entry["failed"], entry["skipped"], entry["timed"]) == (1, 1, 2)
    assert kept(rows, "skipped") == ["q3"] and kept(rows, "errors") == ["q2"]
    assert kept(rows, "failed") == [] == kept(rows, "different")
    (bare,) = summarize_sides([failed(1), skipped(2), skipped(3)])
    assert (bare["failed"], bare["skipped"], bare["unpriced"]) == (1, 2, 0)


def test_a_scorer_that_raised_is_an_error_and_no_score():
    broken = {"status": "error", "error_code": "SCORER_ERROR", "error_message": "ValueError: x"}
    rows = [row(1), row(1, score=None, scorer="mine", **broken)]
    (told,) = read_matrix(rows).answers
    assert told.is_error and told.error_code is None
    judged = told.find_judgement("mine")
    assert judged.mark == "!" and judged.explanation == "ValueError: x"
    assert kept(rows, "errors") == ["q1"]


def test_cost_and_latency_of_an_answer_count_once_however_many_scorers_judged_it():
    rows = [row(n, scorer=s) for n in (1, 2, 3) for s in ("exact", "fuzzy", "contains")]
    for entry in summarize_sides(rows):
        assert entry["cost_usd"] == Decimal("0.003")
        assert (entry["timed"], entry["p50_ms"]) == (3, 102.0)


def test_an_answer_taken_again_enters_neither_latency_nor_cost():
    rows = [row(1), row(2, is_cached=True, duration_ms=9_000.0, cost_usd=Decimal(5))]
    (entry,) = summarize_sides(rows)
    assert (entry["cost_usd"], entry["max_ms"], entry["n"]) == (Decimal("0.001"), 101.0, 2)


def test_an_unpriced_answer_is_said_and_never_zero():
    (entry,) = summarize_sides([row(1, cost_usd=None)])
    assert entry["cost_usd"] is None and entry["unpriced"] == 1


def test_the_summary_has_wilsons_interval_and_counts_what_failed():
    a, b = summarize_sides(two_models())
    assert (a["mean"], a["n"], a["failed"]) == (0.8, 20, 0)
    assert (a["low"], a["high"]) == pytest.approx(wilson_interval(16, 20))
    assert (b["n"], b["failed"]) == (19, 1)


def test_columns_are_compared_on_the_samples_that_both_answered():
    (pair,) = compare_within(two_models(), "exact")
    assert pair["n"] == 19 and pair["test"] == "McNemar"
    assert pair["sentence"].startswith("mock/a is better by")


def test_more_of_a_measure_is_higher_in_its_unit_and_never_better():
    rows = [row(n, "mock/a", 100.0 + n, scorer="duration_ms") for n in range(20)]
    rows += [row(n, "mock/b", 300.0 + 2 * n, scorer="duration_ms") for n in range(20)]
    (pair,) = compare_within(rows, "duration_ms")
    assert pair["sentence"].startswith("mock/b is higher by 210 ms [")
    named = [r | {"scorer": "time"} for r in rows]
    (pair,) = compare_within(named, "time")
    assert pair["sentence"].startswith("mock/b is higher by 210 [")


def test_one_sample_tells_its_input_target_and_answers():
    sample = find_sample(read_matrix(two_models()), "q20")
    assert (sample.input, sample.target) == ("Question 20?", "yes")
    assert [told.error_code for told in sample.answers] == [None, "TIMEOUT"]
    assert find_sample(read_matrix(two_models()), "nobody") is None


def test_conversations_and_several_targets_are_written_as_text():
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert say_value(turns) == "system: Be brief.\nuser: Hi"
    assert say_value(["a", "b"]) == "a | b" and say_value(None) == ""
    assert say_value({"n": 1}) == '{"n": 1}'


def test_two_runs_stand_side_by_side_on_the_samples_that_both_have():
    joined = join_runs({"old": [row(1), row(2)], "new": [row(2, score=0.0), row(3)]})
    matrix = read_matrix(joined)
    assert [s.sample_id for s in matrix.samples] == ["q2"]
    assert matrix.sides == (("mock/a", "new: plain"), ("mock/a", "old: plain"))
    assert keep_samples(matrix, "different", "exact")


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_percentiles_are_numpys(values, share):
    assert percentile(values, share) == pytest.approx(np.quantile(values, share), abs=1e-6)


def test_the_interval_of_a_time_or_a_cost_does_not_reach_below_nothing():
    spread = (1.0, 30.0)
    rows = [row(n, score=value, scorer="duration_ms") for n, value in enumerate(spread)]
    rows += [row(n, score=value, scorer="own") for n, value in enumerate((-1.0, 30.0))]
    (time_ms, own) = summarize_sides(rows)
    assert time_ms["low"] == 0 and time_ms["high"] > 30
    assert own["low"] < 0, "a measure of the user's own may be negative"
