"""What a probe says: four separate answers, each with its reason and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from toolkit.errors import ToolkitError

Answer = Literal["works", "refused", "could_not_check"]
Question = Literal["address", "reachable", "key", "model"]

QUESTIONS: Final[Mapping[Question, str]] = {
    "address": "address allowed",
    "reachable": "reachable",
    "key": "key accepted",
    "model": "model callable",
}
"""The four questions in their order, in words."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One answer.

    Attributes:
        question: which of the four.
        answer: `works`, `refused`, or `could_not_check`, which is neither.
        reason: what was seen.
        hint: what to do, or "".
    """

    question: Question
    answer: Answer
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """One probe of one provider.

    Attributes:
        provider: its name.
        address, reachable, key, model: the four answers.
        models: ids of the models that it lists, in its order.
        latency_ms: from asking for the listing to its end, connecting included; None where
            none was asked for.
        model_asked: the model that was called, or None.
        error: the failure that decided, or None.
    """

    provider: str
    address: CheckResult
    reachable: CheckResult
    key: CheckResult
    model: CheckResult
    models: tuple[str, ...] = ()
    latency_ms: float | None = None
    model_asked: str | None = None
    error: ToolkitError | None = None

    @property
    def lights(self) -> tuple[CheckResult, CheckResult, CheckResult, CheckResult]:
        """The four answers in their order."""
        return self.address, self.reachable, self.key, self.model

    @property
    def refusals(self) -> tuple[CheckResult, ...]:
        """Answers that are a plain no."""
        return tuple(light for light in self.lights if light.answer == "refused")

    @property
    def is_good(self) -> bool:
        """Nothing was refused, and address, connection and key were seen to work."""
        first_three = (self.address, self.reachable, self.key)
        return not self.refusals and all(light.answer == "works" for light in first_three)

    def as_dict(self) -> dict[str, Any]:
        """The result as plain JSON-ready values."""
        return {
            "provider": self.provider,
            "ok": not self.refusals,
            "lights": [asdict(light) for light in self.lights],
            "models": list(self.models),
            "latency_ms": self.latency_ms,
            "model_asked": self.model_asked,
            "error": None if self.error is None else self.error.as_dict(),
        }
