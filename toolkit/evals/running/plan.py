"""What a run has to ask: models x variants x samples x repeats, in an order that is fair."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from toolkit.evals.dataset import Dataset, Sample
from toolkit.evals.solvers import Solver


class Key(NamedTuple):
    """What makes an answer unique within a run."""

    model: str
    variant: str
    sample_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Task:
    """One answer to get."""

    model: str
    solver: Solver
    sample: Sample
    epoch: int

    @property
    def tags(self) -> dict[str, str]:
        """Tags of every call made for it, by which its transcript is found."""
        return {
            "sample_id": self.sample.sample_id,
            "variant": self.solver.name,
            "epoch": str(self.epoch),
        }

    @property
    def key(self) -> Key:
        """Its place in the run."""
        return Key(self.model, self.solver.name, self.sample.sample_id, self.epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run before it runs.

    Attributes:
        dataset: the samples.
        models: `provider/model_id` of each model.
        solvers: the variants.
        epochs: how often each sample is asked.
        seed: draws the order in which samples are asked, so that what a cap leaves done is a
            random part of the data; None: the order of the dataset.
    """

    dataset: Dataset
    models: Sequence[str]
    solvers: Sequence[Solver]
    epochs: int = 1
    seed: int | None = None

    @property
    def total(self) -> int:
        """How many answers it takes."""
        return len(self.dataset) * len(self.models) * len(self.solvers) * self.epochs

    def tasks(self, model: str, done: Collection[Key] = frozenset()) -> Iterator[Task]:
        """What is left to ask of one model: all samples once before any is repeated, so that a
        run which is cut short has seen as many samples as it could.
        """
        samples = list(self.dataset)
        if self.seed is not None:
            random.Random(self.seed).shuffle(samples)  # noqa: S311 - an order, not a secret
        for epoch in range(1, self.epochs + 1):
            for sample in samples:
                for solver in self.solvers:
                    task = Task(model, solver, sample, epoch)
                    if task.key not in done:
                        yield task

    def keys(self) -> Iterator[Key]:
        """The keys of all answers."""
        for model in self.models:
            for task in self.tasks(model):
                yield task.key


def hash_id(*parts: Any) -> str:
    """An id made of what it names: written twice, it is one row."""
    text = json.dumps(parts, default=str, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        total: answers that it takes; `done` of them are there, `failed` of those without one.
        reused: were there before it began (part of `done`).
        cost_usd: what it has spent, judges included; None while nothing had a price.
        per_s: answers per second lately; `left_s`: seconds until the end at that rate.
        limits: how many calls may be in flight now, by provider.
    """

    total: int
    done: int = 0
    failed: int = 0
    reused: int = 0
    cost_usd: float | None = None
    per_s: float | None = None
    left_s: float | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
