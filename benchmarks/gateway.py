"""The gateway under load, and beside litellm's own proxy: JSON with both sides of every ratio.

`python -m benchmarks.gateway load` asks 100 times a second and holds 50 streams against a mock
provider, and watches errors and memory. `... overload` asks ten times that much of a token that
may ask only 8 things at once. `... proxy` installs litellm's proxy (our version of litellm) into an
environment of its own and measures both gateways and the bare provider in turns, with the provider
measured twice as an A/A control.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

from benchmarks.light_client import LightClient

ROOT = Path(__file__).resolve().parents[1]
ANSWER = {"text": "Hello there, this is an answer of usual length for a test.", "usage": {
    "prompt_tokens": 9, "completion_tokens": 14}}  # fmt: skip
BODY = {"model": "mock/m", "messages": [{"role": "user", "content": "hi"}]}


@dataclass
class Door:
    """Something that answers chat completions: its address, token, name of the model, process."""

    url: str
    token: str = "none"
    model: str = "m"
    pid: int | None = None

    @cached_property
    def headers(self) -> bytes:
        return f"authorization: Bearer {self.token}\r\n".encode()

    @cached_property
    def plain(self) -> bytes:
        return json.dumps({**BODY, "model": self.model}).encode()

    @cached_property
    def streamed(self) -> bytes:
        return json.dumps({**BODY, "model": self.model, "stream": True}).encode()


@dataclass
class Tally:
    """What came of many requests; milliseconds of those that were answered."""

    ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    def summary(self) -> dict[str, Any]:
        return {
            "n": len(self.ms),
            "statuses": dict(self.statuses),
            **({"p50_ms": percentile(self.ms, 50), "p99_ms": percentile(self.ms, 99)}),
            "refused_p99_ms": percentile(self.refused_ms, 99),
        }


def percentile(values: Sequence[float], percent: int) -> float | None:
    """Nearest-rank percentile, or None of nothing."""
    ordered = sorted(values)
    return round(ordered[-(-len(ordered) * percent // 100) - 1], 3) if ordered else None


@contextlib.contextmanager
def provider(**answer: Any) -> Iterator[str]:
    """The mock provider in a process of its own; its base URL."""
    command = [sys.executable, "-m", "tests.servers.mock_provider", "--answer", json.dumps(answer)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@contextlib.contextmanager
def gateway(
    upstream: str, *, concurrency: int = 512, others: Mapping[str, str] | None = None
) -> Iterator[Door]:
    """`toolkit serve` with that provider, and a token that may ask so many things at once.

    Args:
        upstream: base URL of the provider `mock`.
        concurrency: how many requests the token may have open.
        others: base URLs of more providers, by name.
    """
    from toolkit.api.bearer_tokens import BearerTokens
    from toolkit.settings import Settings
    from toolkit.toolkit import Toolkit

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        toolkit = Toolkit(settings=Settings(home=Path(home)))
        toolkit.settings.make_home()
        tokens = BearerTokens(toolkit.settings.token_path)
        token = tokens.create(
            "load", requests_per_minute=10_000_000, concurrency=concurrency
        ).reveal()
        for name, url in {"mock": upstream, **(others or {})}.items():
            toolkit.providers.registry.add(
                name, base_url=url, is_local=True, needs_key=False, auto_sync=False
            )
        toolkit.close()
        environment = {**os.environ, "TOOLKIT_HOME": home, "TOOLKIT_HEALTH_INTERVAL_S": "0"}
        command = [sys.executable, "-m", "toolkit", "serve", "--port", "0"]
        log = Path(home, "serve.log")
        with log.open("w") as out, _running(command, out, environment) as process:
            url = _find_address(log, process)
            yield Door(url, token, "mock/m", process.pid)


@contextlib.contextmanager
def litellm_proxy(upstream: str) -> Iterator[Door]:
    """litellm's proxy, our version of litellm, installed into an environment of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        subprocess.run([sys.executable, "-m", "venv", f"{folder}/env"], check=True)
        python = f"{folder}/env/bin/python"
        wanted = f"litellm[proxy]=={version('litellm')}"
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wanted],
            check=True,
            stdout=sys.stderr,
        )
        key = "sk-" + "p" * 20
        model = {"model": "openai/m", "api_base": upstream, "api_key": "none"}
        config = {
            "model_list": [{"model_name": "m", "litellm_params": model}],
            "litellm_settings": {"telemetry": False, "num_retries": 0},
            "general_settings": {"master_key": key},
        }
        Path(folder, "config.yaml").write_text(json.dumps(config))
        port = _free_port()
        command = [f"{folder}/env/bin/litellm", "--config", f"{folder}/config.yaml"]
        command += ["--port", str(port), "--host", "127.0.0.1", "--num_workers", "1"]
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        log = Path(folder, "proxy.log")
        with log.open("w") as out, _running(command, out, environment) as process:
            door = Door(f"http://127.0.0.1:{port}", key, "m", process.pid)
            _wait_until_up(door, process, log)
            yield door


@contextlib.contextmanager
def _running(command: list[str], out: Any, environment: dict[str, str]) -> Iterator[Any]:
    process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, cwd=ROOT)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def _find_address(log: Path, process: subprocess.Popen[bytes]) -> str:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text("utf-8")):
            return found[0]
        time.sleep(0.05)
    raise RuntimeError(f"no server: {log.read_text('utf-8')}")


def _wait_until_up(door: Door, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 180
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if (
                httpx.get(
                    f"{door.url}/v1/models", headers={"authorization": f"Bearer {door.token}"}
                ).status_code
                == 200
            ):
                return
        time.sleep(0.5)
    raise RuntimeError(f"the proxy did not start: {log.read_text('utf-8')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def ask(http: LightClient, door: Door, tally: Tally, *, stream: bool = False) -> None:
    """One request, read to its end."""
    began = time.perf_counter()
    body = door.streamed if stream else door.plain
    try:
        url = f"{door.url}/v1/chat/completions"
        async with asyncio.timeout(60):
            code, text = await http.post(url, door.headers, body)
        status = str(code)
        if code == 200 and stream and b"[DONE]" not in text:
            status = "broken stream"
    except (OSError, TimeoutError) as error:
        status = type(error).__name__
    took = (time.perf_counter() - began) * 1000
    (tally.refused_ms if status == "429" else tally.ms).append(took)
    tally.statuses[status] += 1


async def at_rate(door: Door, per_s: float, seconds: float, tally: Tally) -> None:
    """Ask at fixed moments, whether the last one was answered or not (an open loop)."""
    async with LightClient() as http, asyncio.TaskGroup() as asking:
        began = time.monotonic()
        for number in range(int(per_s * seconds)):
            await asyncio.sleep(max(0.0, began + number / per_s - time.monotonic()))
            asking.create_task(ask(http, door, tally))


async def hold_streams(door: Door, count: int, seconds: float, tally: Tally) -> None:
    """So many streams at every moment."""
    until = time.monotonic() + seconds

    async def hold(http: LightClient) -> None:
        while time.monotonic() < until:
            await ask(http, door, tally, stream=True)

    async with LightClient() as http, asyncio.TaskGroup() as holding:
        for _ in range(count):
            holding.create_task(hold(http))


async def watch_memory(pid: int, seconds: float) -> list[tuple[float, float]]:
    """(seconds, MB resident) of a process, twice a second."""
    command = ["ps", "-o", "rss=", "-p", str(pid)]
    seen, began = list[tuple[float, float]](), time.monotonic()
    while (now := time.monotonic() - began) < seconds:
        told = await asyncio.to_thread(subprocess.check_output, command, text=True)
        seen.append((now, int(told) / 1024))
        await asyncio.sleep(0.5)
    return seen


def slope_mb_per_min(seen: Sequence[tuple[float, float]]) -> float | None:
    """Least-squares slope of the second half, when everything that is made once is there."""
    half = seen[len(seen) // 2 :]
    if len(half) < 4:
        return None
    found = statistics.linear_regression([t for t, _ in half], [mb for _, mb in half])
    return round(found.slope * 60, 3)


async def measure_load(door: Door, seconds: float, rate: float, count: int) -> dict[str, Any]:
    """Plain requests at a rate, 50 streams, and a look at the server's memory, all at once."""
    plain, streams = Tally(), Tally()
    async with LightClient() as http:
        await ask(http, door, Tally())
    assert door.pid is not None
    _, _, memory = await asyncio.gather(
        at_rate(door, rate, seconds, plain),
        hold_streams(door, count, seconds, streams),
        watch_memory(door.pid, seconds),
    )
    return {
        "seconds": seconds,
        "plain_per_s": rate,
        "streams_at_once": count,
        "plain": plain.summary(),
        "streams": streams.summary(),
        "memory_mb": {"first": round(memory[0][1], 1), "last": round(memory[-1][1], 1)},
        "memory_slope_mb_per_min": slope_mb_per_min(memory),
    }


def run_load(seconds: float, rate: float, count: int) -> dict[str, Any]:
    """(a) Plain requests and streams at once."""
    answer = {**ANSWER, "chunks": ["word "] * 20, "chunk_delay_s": 0.05}
    with provider(**answer) as upstream, gateway(upstream) as door:
        return asyncio.run(measure_load(door, seconds, rate, count))


def run_overload(seconds: float, rate: float, at_once: int = 8) -> dict[str, Any]:
    """(b) Ten times the rate at a token that may ask 8 things at once: what becomes of the rest."""
    with provider(**ANSWER) as upstream:
        calm, hurried = Tally(), Tally()
        with gateway(upstream, concurrency=at_once) as door:
            asyncio.run(at_rate(door, 1, 5, Tally()))  # the first call loads litellm
            asyncio.run(at_rate(door, rate, seconds, calm))
            asyncio.run(at_rate(door, rate * 10, seconds, hurried))
    return {
        "calm_per_s": rate,
        "at_once": at_once,
        "calm": calm.summary(),
        "at_10x": hurried.summary(),
    }


def cpu_s(pid: int | None) -> float | None:
    """CPU seconds that a process has used so far, where the system tells (Linux)."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return None


async def measure_turns(doors: dict[str, Door], rounds: int, size: int) -> dict[str, Any]:
    """Every door in turn, one request at a time, then many; the order changes with each round."""
    alone = {name: Tally() for name in doors}
    rates: dict[str, list[float]] = {name: [] for name in doors}
    used: dict[str, list[float]] = {name: [] for name in doors}
    async with LightClient() as http:
        for door in doors.values():
            for _ in range(20):
                await ask(http, door, Tally())
        names = list(doors)
        for number in range(rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                before = cpu_s(doors[name].pid)
                for _ in range(size):
                    await ask(http, doors[name], alone[name])
                rates[name].append(await throughput(http, doors[name], size * 3))
                after = cpu_s(doors[name].pid)
                if before is not None and after is not None:
                    used[name].append((after - before) * 1000 / (size * 4))
    return {
        name: {
            **alone[name].summary(),
            "requests_per_s": round(statistics.median(rates[name]), 1),
            "cpu_ms_per_request": round(statistics.median(used[name]), 3) if used[name] else None,
        }
        for name in doors
    }


async def throughput(http: LightClient, door: Door, count: int) -> float:
    """Requests per second with 32 at once."""
    left, tally, began = iter(range(count)), Tally(), time.perf_counter()

    async def work() -> None:
        for _ in left:
            await ask(http, door, tally)

    await asyncio.gather(*(work() for _ in range(32)))
    if set(tally.statuses) != {"200"}:
        raise RuntimeError(f"not all were answered: {dict(tally.statuses)}")
    return count / (time.perf_counter() - began)


def run_proxy(rounds: int, size: int) -> dict[str, Any]:
    """(c) Our gateway, litellm's proxy and the bare provider, interleaved in one run."""
    with provider(**ANSWER) as upstream, gateway(upstream) as ours, litellm_proxy(upstream) as its:
        bare = Door(upstream.removesuffix("/v1"))
        doors = {"provider": bare, "toolkit": ours, "litellm_proxy": its, "provider_again": bare}
        found = asyncio.run(measure_turns(doors, rounds, size))
    added = {
        name: {p: round(found[name][p] - found["provider"][p], 3) for p in ("p50_ms", "p99_ms")}
        for name in ("toolkit", "litellm_proxy", "provider_again")
    }
    ours_rps, its_rps = (found[n]["requests_per_s"] for n in ("toolkit", "litellm_proxy"))
    return {
        "measured": found,
        "added": added,
        "added_ratio": {
            p: round(added["toolkit"][p] / added["litellm_proxy"][p], 3)
            for p in ("p50_ms", "p99_ms")
        },
        "requests_per_s_ratio": round(ours_rps / its_rps, 2),
    }


def machine_facts() -> dict[str, Any]:
    """What a figure depends on: versions, cores, and the load as the run begins."""
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "versions": {name: version(name) for name in ("litellm", "fastapi", "uvicorn", "aiohttp")},
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["load", "overload", "proxy"])
    parser.add_argument("--minutes", type=float, default=1.0, help="how long to load; full: 10")
    parser.add_argument("--rate", type=float, default=100.0, help="plain requests per second")
    parser.add_argument("--streams", type=int, default=50, help="streams at once")
    parser.add_argument("--at-once", type=int, default=8, help="what the overloaded token may ask")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=100, help="requests of one turn")
    options = parser.parse_args()
    facts = machine_facts()
    seconds = options.minutes * 60
    if options.what == "load":
        found = run_load(seconds, options.rate, options.streams)
    elif options.what == "overload":
        found = run_overload(seconds, options.rate, options.at_once)
    else:
        found = run_proxy(options.rounds, options.size)
    print(json.dumps({"benchmark": f"gateway {options.what}", **facts, **found}, indent=1))


if __name__ == "__main__":
    main()
