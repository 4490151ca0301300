"""One attempt at a case: the call, the results of its checks, and its measurements."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from toolkit.calls.attempt_spec import STAND_IN_KEY
from toolkit.calls.model_client import ModelClient
from toolkit.errors import CallError, ToolkitError
from toolkit.records import Reply
from toolkit.replay.regression.case_checks import Judgement, Measured, Seen
from toolkit.replay.regression.suite import Case
from toolkit.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseAttempt:
    """One answer to one case.

    Attributes:
        passed: whether every check that could be judged passed; None if there was none.
        judgements: the results of the checks.
        text, tool_calls, finish_reason: the answer.
        error_code, error_message: why there is no answer, or why it could not be judged.
        call_id: the row in `calls`.
        response_model, system_fingerprint: as reported by the provider.
        measured: the live measurement that belongs to the answer.
    """

    passed: bool | None
    judgements: tuple[Judgement, ...] = ()
    text: str = ""
    tool_calls: tuple[tuple[str, str], ...] = ()
    finish_reason: str | None = None
    error_code: str | None = None
    error_message: str = ""
    call_id: str | None = None
    response_model: str | None = None
    system_fingerprint: str | None = None
    measured: Measured | None = None

    @property
    def shown(self) -> str:
        """The answer as text: content, tool calls, or the failure."""
        calls = [f"{name}({arguments})" for name, arguments in self.tool_calls]
        parts = [self.text, *calls]
        if self.error_code:
            parts.append(f"{self.error_code}: {self.error_message}")
        return "\n".join(part for part in parts if part)


def ask(
    toolkit: ModelClient, case: Case, model: str, *, options: Mapping[str, Any], is_live: bool
) -> tuple[Reply | None, ToolkitError | None]:
    """Call one model; a failure of the call is a result, other errors are raised."""
    given = {**case.params, **options, "origin": "regression"}
    if not is_live:
        given["api_key"] = STAND_IN_KEY
    try:
        if not case.stream:
            return toolkit.complete(model, case.messages, **given), None
        with toolkit.stream(model, case.messages, **given) as pieces:
            for _ in pieces:
                pass
            return pieces.reply, None
    except ToolkitError as error:
        return None, error


def judge_answer(
    case: Case, reply: Reply | None, error: ToolkitError | None, measured: Measured | None
) -> CaseAttempt:
    """Apply the checks of a case to the answer."""
    facts = _facts(reply, error) | {"measured": measured}
    if error is not None and not (case.expects_error and isinstance(error, CallError)):
        return CaseAttempt(passed=None, **facts)
    seen = Seen(reply=reply, error_code=error.code if error else None, measured=measured)
    judgements = tuple(check.apply(seen) for check in case.checks)
    if broken := next((j for j in judgements if j.is_error), None):
        facts |= {"error_code": "CHECK_FAILED", "error_message": f"{broken.check}: {broken.reason}"}
        return CaseAttempt(passed=None, judgements=judgements, **facts)
    judged = [j.passed for j in judgements if j.passed is not None]
    if not judged:
        facts |= {"error_code": "NOT_JUDGED", "error_message": judgements[0].reason}
    return CaseAttempt(passed=all(judged) if judged else None, judgements=judgements, **facts)


def _facts(reply: Reply | None, error: ToolkitError | None) -> dict[str, Any]:
    if reply is None:
        attempts = getattr(error, "attempts", ())
        return {
            "error_code": error.code if error else None,
            "error_message": error.message if error else "",
            "call_id": attempts[-1].call_id if attempts else None,
        }
    return {
        "text": reply.text,
        "tool_calls": tuple((call.name, call.arguments) for call in reply.tool_calls),
        "finish_reason": reply.finish_reason,
        "call_id": reply.call_id,
        "response_model": reply.response_model,
        "system_fingerprint": reply.attempts[-1].system_fingerprint if reply.attempts else None,
    }


def measure_reply(reply: Reply) -> Measured:
    """The measurements of a live reply."""
    return Measured(
        ttft_ms=reply.timing.ttft_ms,
        duration_ms=reply.timing.duration_ms,
        cost_usd=reply.cost_usd,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    )


def measured_dict(measured: Measured) -> dict[str, Any]:
    """A measurement for a cassette's metadata."""
    return {
        "ttft_ms": None if measured.ttft_ms is None else round(measured.ttft_ms, 3),
        "duration_ms": None if measured.duration_ms is None else round(measured.duration_ms, 3),
        "cost_usd": None if measured.cost_usd is None else str(measured.cost_usd),
        "measured_at": measured.measured_at,
    }


def read_measured(raw: Any) -> Measured | None:
    """The measurement in a cassette's metadata, or None."""
    if not isinstance(raw, Mapping):
        return None
    cost = raw.get("cost_usd")
    return Measured(
        ttft_ms=raw.get("ttft_ms"),
        duration_ms=raw.get("duration_ms"),
        cost_usd=None if cost is None else Decimal(str(cost)),
        measured_at=raw.get("measured_at"),
    )


def prompt_digest(case: Case) -> str:
    """Hash of the request, to distinguish a changed prompt from a changed model."""
    asked = [[dict(message) for message in case.messages], dict(case.params), case.stream]
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:16]


def secrets_of(toolkit: ModelClient) -> tuple[Secret, ...]:
    """Every key that must not be written."""
    return tuple(toolkit.keys.known_secrets())
