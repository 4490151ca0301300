"""Scorers that measure how near an answer's text is to its target."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from toolkit.evals.extract.normalization import normalize_unicode
from toolkit.evals.scoring.score import Answer, Score, Scorer, named

_WORD: Final = re.compile(
    r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
    r"|[^\W\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+"
)


def fuzzy(*, at_least: float | None = None) -> Scorer:
    """Similarity of answer and nearest target, 0 to 1 (rapidfuzz's normalised indel ratio).

    With `at_least`, the score is 1 or 0.
    """

    def check(answer: Answer) -> Score:
        from rapidfuzz import fuzz

        text = normalize_unicode(answer.text).strip()
        best = max(
            fuzz.ratio(text, normalize_unicode(target).strip()) / 100 for target in answer.targets
        )
        value = best if at_least is None else float(best >= at_least)
        return Score(value=value, reason=f"similarity {best:.3f}")

    return named("fuzzy", check)


def bleu() -> Scorer:
    """Sentence BLEU of sacrebleu, 0 to 1 (Papineni et al. 2002; Post 2018)."""

    def check(answer: Answer) -> float:
        import sacrebleu

        return float(sacrebleu.sentence_bleu(answer.text, list(answer.targets)).score) / 100

    return named("bleu", check)


def chrf() -> Scorer:
    """chrF of sacrebleu, 0 to 1 (Popović 2015)."""

    def check(answer: Answer) -> float:
        import sacrebleu

        return float(sacrebleu.sentence_chrf(answer.text, list(answer.targets)).score) / 100

    return named("chrf", check)


def rouge_l() -> Scorer:
    """ROUGE-L F1 over words, 0 to 1: the longest common subsequence (Lin 2004, eq. 2-4).

    Chinese, Japanese and Thai, which write no spaces, are compared by characters.
    """

    def check(answer: Answer) -> float:
        words = _words(answer.text)
        return max(_rouge_l(words, _words(target)) for target in answer.targets)

    return named("rouge_l", check)


def _words(text: str) -> list[str]:
    """Words, and single characters of the scripts that put no spaces between words."""
    return _WORD.findall(text.lower())


def _rouge_l(words: Sequence[str], wanted: Sequence[str]) -> float:
    if not words or not wanted:
        return float(words == wanted)
    row = [0] * (len(wanted) + 1)
    for word in words:
        previous = 0
        for i, other in enumerate(wanted, start=1):
            kept = row[i]
            row[i] = previous + 1 if word == other else max(row[i], row[i - 1])
            previous = kept
    common = row[-1]
    if common == 0:
        return 0.0
    precision, recall = common / len(words), common / len(wanted)
    return 2 * precision * recall / (precision + recall)
