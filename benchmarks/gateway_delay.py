"""What the gateway adds to a stream's chunks, and what hostile bodies do to other clients: JSON.

`python -m benchmarks.gateway_delay chunks` reads streams whose chunks are the provider's own time
stamps, through the gateway and from the bare provider in turns. `... hostile` sends plain requests
at a fixed rate, first alone and then beside clients that send bodies of 10 MB made to cost time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.gateway import (
    ANSWER,
    Door,
    Tally,
    at_rate,
    gateway,
    machine_facts,
    percentile,
    provider,
)
from benchmarks.light_client import LightClient

_STAMP: Final = re.compile(rb'"content": ?"(\d{6,}) "')
_SIZE: Final = 10_000_000
_SPAWN_S: Final = 3.0  # in which the hostile clients' process starts and begins


async def read_delays(door: Door, delays: list[float]) -> None:
    """One stream: milliseconds between each stamp and its arrival here."""
    where = urlsplit(door.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {where.netloc}\r\nconnection: close\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(door.streamed)}\r\n"
    writer.write(head.encode() + door.headers + b"\r\n" + door.streamed)
    whole = b""
    while data := await reader.read(65536):
        arrived_ns = time.monotonic_ns()
        whole += data
        delays += [(arrived_ns - int(stamp)) / 1e6 for stamp in _STAMP.findall(data)]
        if b"[DONE]" in data:
            break
    writer.close()
    if b"[DONE]" not in whole:
        raise RuntimeError(f"a stream did not end well: {whole[-300:]!r}")


async def measure_chunks(doors: dict[str, Door], rounds: int, at_once: int) -> dict[str, Any]:
    """Delays by door, in turns; so many streams at once."""
    delays: dict[str, list[float]] = {name: [] for name in doors}
    for door in doors.values():
        await read_delays(door, [])  # what is made once
    for _ in range(rounds):
        for name, door in doors.items():
            await asyncio.gather(*(read_delays(door, delays[name]) for _ in range(at_once)))
    return {
        name: {"n": len(found), "p50_ms": percentile(found, 50), "p99_ms": percentile(found, 99)}
        for name, found in delays.items()
    }


def run_chunks(rounds: int, at_once: int) -> dict[str, Any]:
    """What the gateway adds to each chunk."""
    answer = {**ANSWER, "chunks": ["x "] * 50, "chunk_delay_s": 0.02, "stamp_in_text": True}
    with provider(**answer) as upstream, gateway(upstream) as door:
        bare = Door(upstream.removesuffix("/v1"))
        doors = {"provider": bare, "gateway": door, "provider_again": bare}
        found = asyncio.run(measure_chunks(doors, rounds, at_once))
    added = {p: round(found["gateway"][p] - found["provider"][p], 3) for p in ("p50_ms", "p99_ms")}
    return {"streams_at_once": at_once, "measured": found, "added": added}


def hostile_bodies() -> list[bytes]:
    """Bodies of 10 MB that cost a careless server seconds: escapes, depth, values, long texts."""
    escapes = b'{"a":"' + b'\\"' * (_SIZE // 2)
    deep = b'{"model":"hostile/m","messages":' + b"[" * (_SIZE - 40)
    many = b'{"model":"hostile/m","messages":[' + b"{}," * (_SIZE // 3 - 20) + b"{}]}"
    text = json.dumps(
        {"model": "hostile/m", "messages": [{"role": "user", "content": "a b" * (_SIZE // 3 - 60)}]}
    )
    return [escapes, deep, many, text.encode()]


async def send_hostile(
    door: Door, bodies: list[bytes], seconds: float, statuses: dict[str, int]
) -> None:
    """Hostile bodies one after the other until the time is over."""
    until = time.monotonic() + seconds
    async with LightClient() as http:
        number = 0
        while time.monotonic() < until:
            body = bodies[number % len(bodies)]
            number += 1
            try:
                url = f"{door.url}/v1/chat/completions"
                async with asyncio.timeout(60):
                    status, _ = await http.post(url, door.headers, body)
                name = str(status)
            except (OSError, TimeoutError) as error:
                name = type(error).__name__
            statuses[name] = statuses.get(name, 0) + 1


def send_from_process(door: Door, seconds: float, at_once: int) -> dict[str, int]:
    """Hostile clients in a process of their own: what they cost is not the gateway's."""
    statuses: dict[str, int] = {}
    bodies = hostile_bodies()

    async def send() -> None:
        await asyncio.gather(
            *(send_hostile(door, bodies, seconds, statuses) for _ in range(at_once))
        )

    asyncio.run(send())
    return statuses


async def measure_hostile(door: Door, rate: float, seconds: float, at_once: int) -> dict[str, Any]:
    """Plain requests alone, and beside clients that send hostile bodies."""
    await at_rate(door, 5, 2, Tally())
    alone, beside = Tally(), Tally()
    await at_rate(door, rate, seconds, alone)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        sending = asyncio.get_running_loop().run_in_executor(
            pool, send_from_process, door, seconds + _SPAWN_S, at_once
        )
        await asyncio.sleep(_SPAWN_S)
        await at_rate(door, rate, seconds, beside)
        statuses = await sending
    return {
        "plain_per_s": rate,
        "hostile_at_once": at_once,
        "alone": alone.summary(),
        "beside_hostile": beside.summary(),
        "hostile_statuses": statuses,
    }


def run_hostile(rate: float, seconds: float, at_once: int) -> dict[str, Any]:
    """What bodies of 10 MB do to the other clients, whose provider is another one."""
    with (
        provider(**ANSWER) as upstream,
        provider(**ANSWER) as other,
        gateway(upstream, others={"hostile": other}) as door,
    ):
        return asyncio.run(measure_hostile(door, rate, seconds, at_once))


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["chunks", "hostile"])
    parser.add_argument("--rounds", type=int, default=20, help="turns of streams")
    parser.add_argument("--at-once", type=int, default=2, help="streams or hostile clients at once")
    parser.add_argument("--rate", type=float, default=20.0, help="plain requests per second")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each part of `hostile`")
    options = parser.parse_args()
    facts = machine_facts()
    if options.what == "chunks":
        found = run_chunks(options.rounds, options.at_once)
    else:
        found = run_hostile(options.rate, options.seconds, options.at_once)
    print(json.dumps({"benchmark": f"gateway {options.what}", **facts, **found}, indent=1))


if __name__ == "__main__":
    main()
