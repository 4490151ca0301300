"""What the policy saves and costs: load in an outage, deadlines kept, pacing, microseconds.

Against a real server on a socket, with real waits (back-off is shortened by the rng, not by the
clock):

- outage: every request fails with 503; requests that reached the server per request asked, with
  three retries allowed, once for one model (the breaker helps) and once for as many models as
  requests (only the retry quota helps). Must: at most 1.2.
- deadlines: a server that accepts and says nothing, one that stalls in mid-stream, one that
  drips keep-alives; how much later than the total deadline the caller had its error.
  Must: at most 1 s in every run.
- pacing: 40 requests asked for at once where 30 a minute may be sent; the busiest minute.
- overhead: `Policy.run` around an act that does nothing, microseconds a call.

    python benchmarks/policy.py [--requests 100] [--runs 100]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.rounds import percentiles, report
from tests.servers.mock_provider import MockProvider
from toolkit.calls.attempt_spec import AttemptEnd, AttemptSpec
from toolkit.calls.chat_request import build_request
from toolkit.calls.client import Client
from toolkit.calls.policy.call_policy import Policy, Target
from toolkit.errors import CallError
from toolkit.providers.provider import Provider
from toolkit.settings import Settings


def make_client(base_url: str, home: Path, **settings: Any) -> Client:
    provider = Provider(name="p", base_url=base_url, is_local=True, needs_key=False)
    return Client(
        settings=Settings(home=home, **settings),
        resolve=lambda model: (provider, model.split("/", 1)[1]),
        key_for=lambda provider, explicit: None,
        record=lambda call: None,
    )


async def measure_outage(home: Path, requests: int, *, one_model: bool) -> dict[str, Any]:
    with MockProvider() as server:
        server.enqueue(status=503, times=requests * 5)
        client = make_client(server.base_url, home, max_retries=3)
        # Short waits, so that the measurement ends: chance decides the back-off.
        client._policy._rng = lambda: 0.01
        failed = 0
        for number in range(requests):
            model = "p/m" if one_model else f"p/m{number}"
            try:
                await client.complete(build_request(model, "hi", {}))
            except CallError:
                failed += 1
        sent = len(server.requests)
        await client.aclose()
    return {"asked": requests, "failed": failed, "sent": sent, "load": round(sent / requests, 3)}


async def measure_deadlines(home: Path, runs: int, total_s: float = 0.5) -> dict[str, Any]:
    faults: dict[str, dict[str, Any]] = {
        "never answers": {"first_delay_s": 30.0},
        "stalls in mid-stream": {"chunks": ["one ", "two"], "chunk_delay_s": 30.0},
        "drips": {"chunks": ["."] * 10_000, "chunk_delay_s": 0.05},
    }
    results = {}
    for name, fault in faults.items():
        overshoots = []
        with MockProvider() as server:
            client = make_client(server.base_url, home, max_retries=0)
            server.enqueue("warm")
            await client.complete(build_request("p/warm", "hi", {}))
            server.enqueue(times=runs, **fault)
            for at in range(0, runs, 10):
                batch = [_overshoot_s(client, f"p/m{at}-{n}", total_s) for n in range(10)]
                overshoots += await asyncio.gather(*batch)
            await client.aclose()
        results[name] = percentiles(overshoots)
    return results


async def _overshoot_s(client: Client, model: str, total_s: float) -> float:
    """Seconds between the total deadline and the caller's error."""
    began = time.monotonic()
    request = build_request(model, "hi", {"timeout_s": total_s}, stream=True)
    try:
        async for _ in client.stream(request):
            pass
    except CallError as error:
        assert error.code in ("TIMEOUT", "STREAM_ERROR"), error
        return max(0.0, time.monotonic() - began - total_s)
    raise AssertionError("an answer where none was whole")


async def measure_pacing() -> dict[str, Any]:
    """Forty requests at thirty a minute, with a clock that runs sixty times faster."""
    began = time.monotonic()
    policy = Policy(
        Settings(),
        lambda provider, explicit: None,
        clock=lambda: (time.monotonic() - began) * 60,
        sleep=lambda seconds: asyncio.sleep(seconds / 60),
    )
    provider = Provider(name="p", base_url="https://p.example/v1", rpm=30)
    sent: list[float] = []

    async def act(this: AttemptSpec) -> None:
        sent.append((time.monotonic() - began) * 60)
        this.settle(AttemptEnd(status="ok"))

    target = Target(provider=provider, model_id="m")
    asked = (policy.run(build_request("p/m", "hi", {}), [target], act) for _ in range(40))
    await asyncio.gather(*asked)
    busiest = max(sum(start <= at < start + 60 for at in sent) for start in sent)
    return {"rpm": 30, "asked": 40, "busiest_minute": busiest, "last_sent_at_s": round(sent[-1], 1)}


async def measure_overhead(calls: int = 5000) -> dict[str, Any]:
    policy = Policy(Settings(), lambda provider, explicit: None)
    provider = Provider(name="p", base_url="https://p.example/v1", rpm=10**6, tpm=10**9)
    target, request = Target(provider=provider, model_id="m"), build_request("p/m", "hi", {})

    async def act(this: AttemptSpec) -> None:
        this.settle(AttemptEnd(status="ok", total_tokens=10))

    took = []
    for _ in range(calls):
        began = time.perf_counter()
        await policy.run(request, [target], act)
        took.append((time.perf_counter() - began) * 1e6)
    return percentiles(took)


async def measure(home: Path, requests: int, runs: int) -> dict[str, Any]:
    return {
        "outage_one_model": await measure_outage(home, requests, one_model=True),
        "outage_many_models": await measure_outage(home, requests, one_model=False),
        "deadline_overshoot_s": await measure_deadlines(home, runs),
        "pacing": await measure_pacing(),
        "overhead_us": await measure_overhead(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=100, help="requests of each outage")
    parser.add_argument("--runs", type=int, default=100, help="runs of each deadline")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        report("policy", asyncio.run(measure(Path(home), options.requests, options.runs)))


if __name__ == "__main__":
    main()
