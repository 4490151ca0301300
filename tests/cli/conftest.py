"""A provider to talk to, and a ledger with something in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.local_model import local_server, shared_local
from tests.servers import Answer, MockProvider
from toolkit import toolkit as toolkit_module
from toolkit.records import Call
from toolkit.toolkit import current

__all__ = ["local_server", "shared_local"]


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As wide as a pipe, whatever the terminal (or the worker of a test run) says of its own."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def provider() -> Iterator[MockProvider]:
    """A provider named `mock` on a real socket."""
    with MockProvider(Answer(text="The answer is forty-two.")) as mock:
        toolkit = current()
        toolkit.providers.add("mock", base_url=mock.base_url, local=True, test=False)
        toolkit.close()
        toolkit_module._open.cache_clear()
        yield mock


def call(number: int, **changes: Any) -> Call:
    """One row of the ledger; the n-th is n minutes old."""
    values: dict[str, Any] = {
        "call_id": f"01a1fc9f-0000-7000-8000-{number:012d}",
        "request_id": f"01a1fc9f-1111-7000-8000-{number:012d}",
        "attempt": 1,
        "attempt_kind": "first",
        "origin": "api",
        "started_at": datetime.now(UTC) - timedelta(minutes=number),
        "seq": number,
        "provider": "acme",
        "model": "acme/small",
        "status": "ok",
        "finish_reason": "stop",
        "ttft_ms": 100.0 + number,
        "tpot_ms": 10.0,
        "output_tps": 100.0,
        "input_tokens": 10,
        "output_tokens": 20,
        "messages": [{"role": "user", "content": f"question {number}"}],
        "output_text": f"answer {number}",
    }
    return Call(**{**values, **changes})


@pytest.fixture
def ledger() -> list[Call]:
    """Five calls: three answers of `acme/small` (one priced), an error, and a replayed one."""
    rows = [
        call(1, cost_usd=Decimal("0.000412")),
        call(2),
        call(3, origin="chat"),
        call(
            4,
            provider="zeta",
            model="zeta/large",
            status="error",
            error_code="TIMEOUT",
            ttft_ms=None,
            tpot_ms=None,
            output_tps=None,
            output_tokens=None,
            output_text=None,
        ),
        call(5, source="replay"),
    ]
    toolkit = current()
    for row in rows:
        toolkit.record(row)
    toolkit.close()
    toolkit_module._open.cache_clear()
    return rows
