"""How fast a replayed request is, against plain vcrpy that matches bodies, in one interleaved run.

Both play the same cassette file to the same httpx client, one fresh cassette a round. The A/A
control plays ours twice under two names: its ratio shows how much of a difference is noise.
Entering the cassette, which reads the file, is measured apart from the requests. Wall time and
CPU time are both given: on a busy machine only the second says anything.

    python benchmarks/replay.py [--rounds 5] [--sizes 10 100 300 1000] [--with-body-up-to 1000]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import httpx
import vcr
import yaml

from toolkit.replay.cassettes.cassette_file import CassetteFile, write_cassette
from toolkit.replay.cassettes.exchange import Chunk, Exchange
from toolkit.replay.cassettes.open_cassette import cassette

URL = "https://api.example.test/v1/chat/completions"
Opened = contextlib.AbstractContextManager[object]
Times = dict[str, float]
MATCH_ON = ("method", "scheme", "host", "port", "path", "query", "body")
WORDS = [f"word{n}" for n in range(12)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 300, 1000])
    parser.add_argument("--with-body-up-to", type=int, default=300, help="plain vcrpy is O(n^2)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = [
            measure(Path(folder), size, options.rounds, plain=size <= options.with_body_up_to)
            for size in options.sizes
        ]
    json.dump({"machine": machine(), "results": results}, sys.stdout, indent=2)
    print()


def machine() -> dict[str, str]:
    names = ("vcrpy", "httpx", "pyyaml")
    found = {name: version(name) for name in names}
    return found | {"python": platform.python_version(), "libyaml": str(yaml.__with_libyaml__)}


def prompts(size: int) -> list[bytes]:
    """`size` requests of 200 words that differ somewhere in the text."""
    rng = random.Random(7)
    texts = [" ".join(rng.choices(WORDS, k=200)) for _ in range(size)]
    return [
        json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
        for text in texts
    ]


def write(folder: Path, size: int) -> list[bytes]:
    asked = prompts(size)
    json_type = {"content-type": ["application/json"]}
    answer = {"choices": [{"message": {"role": "assistant", "content": " ".join(WORDS * 4)}}]}
    body = json.dumps(answer).encode()
    exchanges = tuple(
        Exchange(
            "POST",
            URL,
            {"content-type": "application/json"},
            one,
            answer_headers=json_type,
            reason="OK",
            body=body,
            chunks=(Chunk(len(body), 1.0),),
        )
        for one in asked
    )
    content = CassetteFile(exchanges, {"recorded_at": "2026-01-01T00:00:00Z"})
    write_cassette(folder / "bench" / f"{size}.yaml", content)
    return asked


def play(opened: Opened, client: httpx.Client, asked: list[bytes]) -> Times:
    """Wall and CPU seconds, for entering and in total."""
    headers = {"content-type": "application/json"}
    wall, cpu = time.perf_counter(), time.process_time()
    with opened:
        entered = time.perf_counter() - wall, time.process_time() - cpu
        for body in asked:
            assert client.post(URL, content=body, headers=headers).status_code == 200
    return {
        "enter_wall": entered[0],
        "enter_cpu": entered[1],
        "total_wall": time.perf_counter() - wall,
        "total_cpu": time.process_time() - cpu,
    }


def measure(folder: Path, size: int, rounds: int, *, plain: bool) -> dict[str, object]:
    asked = write(folder, size)
    path = str(folder / "bench" / f"{size}.yaml")

    def ours() -> Opened:
        return cassette(f"bench/{size}", mode="replay", folder=folder, secrets=())

    def vcrpy() -> Opened:
        return vcr.use_cassette(path, record_mode="none", match_on=MATCH_ON)

    sides: dict[str, Callable[[], Opened]] = {"ours": ours, "ours_again": ours}
    if plain:
        sides["vcrpy_with_body"] = vcrpy
    found: dict[str, list[Times]] = {name: [] for name in sides}
    with httpx.Client() as client:
        for make in sides.values():  # imports and caches of both sides
            play(make(), client, asked[:1])
        for turn in range(rounds if size > 10 else rounds * 5):
            for name in sorted(sides, reverse=turn % 2 == 1):
                found[name].append(play(sides[name](), client, asked))
    return {"interactions": size} | report(found, size)


def report(found: dict[str, list[Times]], size: int) -> dict[str, object]:
    median = {
        name: {what: statistics.median(t[what] for t in times) for what in times[0]}
        for name, times in found.items()
    }
    told: dict[str, object] = {
        f"{what}_ms": {name: round(times[what] * 1e3, 2) for name, times in median.items()}
        for what in ("enter_wall", "enter_cpu", "total_wall", "total_cpu")
    }
    told["per_request_cpu_ms"] = {
        name: round((times["total_cpu"] - times["enter_cpu"]) * 1e3 / size, 4)
        for name, times in median.items()
    }
    for what in ("wall", "cpu"):
        ours = median["ours"][f"total_{what}"]
        told[f"control_ratio_{what}"] = round(median["ours_again"][f"total_{what}"] / ours, 3)
        if "vcrpy_with_body" in median:
            theirs = median["vcrpy_with_body"][f"total_{what}"]
            told[f"times_faster_{what}"] = round(theirs / ours, 2)
    return told


if __name__ == "__main__":
    main()
