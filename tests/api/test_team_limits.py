"""Ten processes with homes of their own keep one limit by sending through one gateway.

The window of the rate limit is an hour and the provider asks for an hour after its failure, so
that the counts are exact however long the processes take.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Answer, MockProvider
from toolkit.pricing.budget import Cap

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 10
# Reads `MODEL COUNT` from its input, asks so often, and writes what became of its requests.
MEMBER = """
import json, sys
import toolkit
from toolkit.errors import ToolkitError

token = sys.argv[1]
ask = toolkit.complete
print("ready", flush=True)
for line in sys.stdin:
    model, count = line.split()
    ends = []
    for _ in range(int(count)):
        try:
            ends.append(ask(f"team/{model}", "hello", api_key=token, max_tokens=1000).text[:4])
        except ToolkitError as error:
            ends.append(error.code)
            if int(count) == 1_000_000:
                break
    print("ends", json.dumps(ends), flush=True)
"""
UNTIL_REFUSED = 1_000_000


class Team:
    """Ten processes that ask the gateway at the same time."""

    def __init__(self, served: Any, folder: Path) -> None:
        self.members = [self._start(served, folder / f"home{n}") for n in range(PROCESSES)]
        for member in self.members:
            self._read(member, "ready")

    def ask(self, model: str, count: int) -> Counter[str]:
        """Have each ask so often; what became of all requests."""
        for member in self.members:
            assert member.stdin is not None
            member.stdin.write(f"{model} {count}\n")
            member.stdin.flush()
        return Counter(
            end for member in self.members for end in json.loads(self._read(member, "ends"))
        )

    @staticmethod
    def _start(served: Any, home: Path) -> subprocess.Popen[str]:
        home.mkdir()
        home.joinpath("providers.toml").write_text(
            f'[providers.team]\nbase_url = "{served.url}/v1"\nis_local = true\n'
            "needs_key = true\nmax_retries = 0\nauto_sync = false\n",
            encoding="utf-8",
        )
        return subprocess.Popen(
            [sys.executable, "-c", MEMBER, served.token],
            env={**os.environ, "TOOLKIT_HOME": str(home), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def end(self) -> None:
        for member in self.members:
            member.kill()
            member.wait()

    @staticmethod
    def _read(member: subprocess.Popen[str], begin: str) -> str:
        """The rest of the next line that begins so; a library may write others."""
        assert member.stdout is not None
        for line in member.stdout:
            if line.startswith(begin):
                return line.removeprefix(begin)
        raise AssertionError(f"a process ended with {member.wait()}")


@pytest.fixture
def team(served: Any, tmp_path: Path) -> Iterator[Team]:
    team = Team(served, tmp_path)
    try:
        yield team
    finally:
        team.end()


def add(served: Any, name: str, server: MockProvider, price: str, **facts: Any) -> None:
    served.toolkit.providers.registry.add(
        name, base_url=server.base_url, is_local=True, needs_key=False, max_retries=0, **facts
    )
    served.toolkit.store.append(
        "models",
        {"provider": name, "model_id": "m", "model": f"{name}/m", "is_enabled": True,
         "max_output_tokens": 2000, "facts": {"claims": {}}},
    )  # fmt: skip
    served.toolkit.catalog.override(f"{name}/m", {"price:input": 0, "price:output": price})


@pytest.mark.timeout(900)  # ten processes start on few cores
def test_ten_homes_keep_one_rate_limit_one_budget_and_one_circuit_breaker(
    served: Any, team: Team
) -> None:
    answer = Answer(text="word " * 1000, usage={"prompt_tokens": 10, "completion_tokens": 1000})
    failed = Answer(text="out of order", status=503, headers={"retry-after": "3600"})
    with MockProvider(answer) as paced, MockProvider(answer) as dear, MockProvider(failed) as down:
        add(served, "paced", paced, "0", rpm=100, rate_window_s=3600.0)
        add(served, "dear", dear, "10")  # an answer costs a cent
        add(served, "down", down, "0")
        served.toolkit.budgets.set(Cap(kind="provider", name="dear", limit_usd=Decimal("1.005")))

        # 200 requests against a limit of 100.
        assert team.ask("paced/m", 20) == {"word": 100, "RATE_LIMIT_EXCEEDED": 100}
        assert len(paced.requests) == 100

        # A process goes on until it is refused: the last one refused was alone, so that what it
        # found was spent, not reserved. $1.005 are 100 answers.
        assert team.ask("dear/m", UNTIL_REFUSED) == {"word": 100, "QUOTA_EXCEEDED": PROCESSES}
        assert len(dear.requests) == 100

        # Nothing is sent after a failure whose provider asked for an hour.
        first = team.ask("down/m", 1)
        sent = len(down.requests)
        assert first["word"] == 0 and 3 <= sent <= PROCESSES
        team.ask("down/m", 5)
        assert len(down.requests) == sent
