"""What Inspect AI scored, we score alike; both kinds of its logs say the same."""

from __future__ import annotations

import string
from pathlib import Path

import pytest

from toolkit.evals import scorers
from toolkit.evals.dataset import Sample
from toolkit.evals.exchange.run_files import read_file
from toolkit.evals.scorers import Answer, score

FIXTURES = Path(__file__).parent / "fixtures"
ROOT = Path(__file__).resolve().parents[2]
LOCAL_FOLDERS = {"/tmp/", "/home/", "/Users/", f"{ROOT}/", f"{Path.home()}/"} - {"//"}


def ends_with(answer: Answer) -> bool:
    """Inspect AI's `match()` as its documentation has it: at the end, punctuation aside."""
    edge = string.whitespace + string.punctuation
    text = answer.text.strip().casefold().strip(edge)
    return any(text.endswith(target.strip().casefold().strip(edge)) for target in answer.targets)


OURS = {
    "match": ends_with,
    "includes": scorers.contains(),
    "exact": scorers.exact(normalize=True),
    "choice": scorers.choice(),
}


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("inspect-ten-questions.eval", 6),
        ("inspect-ten-questions.json", 6),
        ("inspect-letters.eval", 2),
    ],
)
def test_the_same_answers_get_the_same_scores_from_us_as_from_inspect_ai(name, pairs):
    """Every scorer was right at times and wrong at times, so agreement is no accident."""
    seen = set()
    for told in read_file(FIXTURES / name).rows:
        if told["scorer"] is None:  # the call failed
            continue
        target = tuple(told["target"]) if isinstance(told["target"], list) else told["target"]
        sample = Sample(sample_id=told["sample_id"], input=told["input"], target=target)
        again = score(OURS[told["scorer"]], Answer(sample=sample, text=told["output"]))
        assert again.value == told["score"], (told["sample_id"], told["scorer"])
        seen.add((told["scorer"], told["score"]))
    assert len(seen) == pairs


def test_the_two_kinds_of_log_say_the_same():
    """Times aside, which are those of two runs."""
    archive, document = (
        read_file(FIXTURES / f"inspect-ten-questions.{kind}").rows for kind in ("eval", "json")
    )
    facts = ("sample_id", "epoch", "scorer", "score", "output", "target", "input", "status")

    def told(rows):
        return sorted(str([row[name] for name in facts]) for row in rows)

    assert told(archive) == told(document)


def test_no_path_of_a_machine_is_in_the_logs():
    for name in ("inspect-ten-questions.json", "promptfoo-towns.json"):
        text = (FIXTURES / name).read_text("utf-8")
        assert not [folder for folder in LOCAL_FOLDERS if folder in text]
