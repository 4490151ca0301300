"""Scorers that measure: time, cost, similarity of meaning. The score carries the unit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from math import sqrt
from typing import Any

from toolkit.errors import InvalidInput
from toolkit.evals.scoring.run_client import current_client
from toolkit.evals.scoring.score import Answer, AnyScorer, Score


def duration_ms() -> AnyScorer:
    """How long the answer took, milliseconds; an answer that was taken again keeps its first."""
    return _timing("duration_ms")


def ttft_ms() -> AnyScorer:
    """Time to the first token, milliseconds, as first measured."""
    return _timing("ttft_ms")


def cost_usd() -> AnyScorer:
    """What the answer cost, USD; an unpriced call cannot be scored."""

    def measure(answer: Answer) -> Score:
        spent = answer.reply.cost_usd if answer.reply else None
        if spent is None:
            return Score(value=None, error="the call is unpriced")
        return Score(value=float(spent), details={"unit": "USD"})

    measure.__name__ = "cost_usd"
    return measure


def similarity(
    model: str | None = None,
    *,
    embed: Callable[[Sequence[str]], Any] | None = None,
) -> AnyScorer:
    """Cosine of the embeddings of answer and nearest target, 0 to 1 (below 0 counts as 0).

    Args:
        model: the embedding model, `provider/model_id`.
        embed: instead of a model, a function from texts to vectors, `async` or not.

    Raises:
        InvalidInput: neither is given.
    """
    if (model is None) == (embed is None):
        raise InvalidInput("similarity needs an embedding model or a function, and not both")

    async def measure(answer: Answer) -> Score:
        texts = [answer.text, *answer.targets]
        if embed is None:
            vectors = await current_client.get().embed(str(model), texts)
        else:
            vectors = embed(texts)
            vectors = await vectors if isinstance(vectors, Awaitable) else vectors
        best = max(_cosine(vectors[0], other) for other in vectors[1:])
        return Score(value=max(0.0, min(1.0, best)), reason=f"cosine {best:.3f}")

    measure.__name__ = "similarity"
    return measure


def _timing(name: str) -> AnyScorer:
    def measure(answer: Answer) -> Score:
        value = getattr(answer.reply.timing, name) if answer.reply else None
        if value is None:
            return Score(value=None, error=f"the call has no {name}")
        return Score(value=float(value), details={"unit": "ms"})

    measure.__name__ = name
    return measure


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    if len(a) != len(b):
        raise ValueError(f"vectors of {len(a)} and {len(b)} dimensions cannot be compared")
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    size = sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    return dot / size if size else 0.0
