"""The result of a connection test: four separate answers, each with its reason and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Protocol

from toolkit.display import Card, Row, Shown, milliseconds
from toolkit.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    InvalidProvider,
    ModelNotFound,
    ToolkitError,
)
from toolkit.providers.provider import Provider

Answer = Literal["works", "refused", "could_not_check"]
Question = Literal["address", "reachable", "key", "model"]

QUESTIONS: Final[Mapping[Question, str]] = {
    "address": "address allowed",
    "reachable": "reachable",
    "key": "key accepted",
    "model": "model callable",
}
"""The four checks in order, as labels."""

_REFUSALS: Final[Mapping[Question, type[ToolkitError]]] = {
    "address": InvalidProvider,
    "reachable": ConnectionFailed,
    "key": AuthenticationFailed,
    "model": ModelNotFound,
}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check.

    Attributes:
        question: which of the four.
        answer: `works`, `refused`, or `could_not_check`, which is neither.
        reason: why.
        hint: what to do, or "".
    """

    question: Question
    answer: Answer
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult(Shown):
    """One test of one provider.

    Attributes:
        provider: its name.
        address, reachable, key, model: the four answers.
        models: ids of the models that it lists, in its order.
        latency_ms: from the request for the listing to its end, connecting included; None without a
            request.
        model_asked: the model that was called, or None.
        missing_model: the default model, if a complete listing does not contain it.
        suggested_url: a base URL at which the API answers, if the given one does not work.
        error: the decisive failure, or None.
    """

    provider: str
    address: CheckResult
    reachable: CheckResult
    key: CheckResult
    model: CheckResult
    models: tuple[str, ...] = ()
    latency_ms: float | None = None
    model_asked: str | None = None
    missing_model: str | None = None
    suggested_url: str | None = None
    error: ToolkitError | None = None

    @property
    def checks(self) -> tuple[CheckResult, CheckResult, CheckResult, CheckResult]:
        """The results in order."""
        return self.address, self.reachable, self.key, self.model

    @property
    def refusals(self) -> tuple[CheckResult, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.answer == "refused")

    @property
    def is_good(self) -> bool:
        """Whether address, connection and key work and the model is not missing."""
        first_three = (self.address, self.reachable, self.key)
        return (
            not self.refusals
            and self.missing_model is None
            and all(check.answer == "works" for check in first_three)
        )

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the provider does not count as tested although no check failed, as sentences."""
        found = [
            f"{QUESTIONS[check.question].capitalize()}: could not be checked ({check.reason})."
            for check in self.checks[:3]
            if check.answer == "could_not_check"
        ]
        if self.missing_model is not None:
            found.append(f"The default model: {self.model.reason}.")
        return tuple(found)

    def _card(self) -> Card:
        rows: list[Row] = [
            {
                "check": QUESTIONS[check.question],
                "answer": check.answer.replace("_", " "),
                "reason": check.reason,
                "what to do": check.hint,
            }
            for check in self.checks
        ]
        latency = milliseconds(self.latency_ms)
        return Card(
            title=f"Connection test of {self.provider}",
            facts={"models": len(self.models), "listing": latency, "called": self.model_asked},
            rows=rows,
        )

    def as_dict(self) -> dict[str, Any]:
        """The result as plain JSON-ready values."""
        return {
            "provider": self.provider,
            "ok": not self.refusals,
            "tested": self.is_good,
            "checks": [asdict(check) for check in self.checks],
            "models": list(self.models),
            "latency_ms": None if self.latency_ms is None else round(self.latency_ms, 1),
            "model_asked": self.model_asked,
            "suggested_url": self.suggested_url,
            "error": None if self.error is None else self.error.as_dict(),
        }


class ConnectionTester(Protocol):
    """Tests a provider, saved or not."""

    async def test(
        self,
        provider: Provider,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        call: bool = False,
        model: str | None = None,
    ) -> ProbeResult:
        """Test a provider.

        Args:
            provider: the provider to test.
            api_key: the key to test; None: the active one.
            headers: values of secret headers that are not stored yet.
            call: also call the model, which may cost money.
            model: the model to look for or to call; None: the default.
        """
        ...


def refusal_of(result: ProbeResult) -> ToolkitError:
    """The error for the first failed check."""
    check = result.refusals[0]
    hint = f"{check.hint} " if check.hint else ""
    return _REFUSALS[check.question](
        f"not saved: {QUESTIONS[check.question]}: no, {check.reason.rstrip('.')}",
        provider=result.provider,
        cause=None if result.error is None else result.error.cause,
        hint=f"{hint}To save it without the test: `--no-test` (in Python `test=False`).",
    )


def require_accepted(result: ProbeResult) -> None:
    """Raise unless a test has shown that the key is accepted.

    Raises:
        ToolkitError: the key was refused, the provider was not reached, or the key could not be
            checked.
    """
    if result.refusals:
        raise refusal_of(result)
    if result.key.answer != "works":
        raise AuthenticationFailed(
            f"whether the new key works could not be checked: {result.key.reason}",
            provider=result.provider,
            hint=f"The old key stays active. Try the new one with a call (`toolkit keys rotate "
            f"{result.provider} --call`), or store it unchecked (`toolkit keys set "
            f"{result.provider} --no-check`).",
        )
