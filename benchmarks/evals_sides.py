"""The sides of the evaluation benchmark, each a process that stays: told a number, it evaluates
so many samples and tells the seconds that took. Starting and importing are in no figure.

    python -m benchmarks.evals_sides toolkit|litellm|inspect BASE_URL CONCURRENCY [HOME]

`inspect` runs in an environment of its own, so only the standard library is imported up here.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Work = Callable[[int], None]
TARGET = "one"


def prompts(count: int) -> list[str]:
    """What every side asks."""
    return [f"question {number}" for number in range(count)]


def require_all(right: float, count: int, what: object) -> None:
    """Figures of a run that left something out are none."""
    if right != count:
        raise SystemExit(f"only {right} of {count} were answered and scored as right: {what}")


def of_toolkit(base_url: str, width: int, home: str) -> Work:
    """`tk.evaluate`: ledger, receipts, rows, scores and summary included."""
    from benchmarks.evals_large import open_bench, samples

    toolkit = open_bench(Path(home), base_url)

    def work(count: int) -> None:
        run = toolkit.evaluation.run(
            samples(count), "mock/mock-model", scorers="contains", concurrency=width, reuse=False
        )
        require_all(run.summary["scores"][0]["mean"] * run.summary["answers"], count, run)

    return work


def of_litellm(base_url: str, width: int, _home: str) -> Work:
    """litellm with its defaults in a gather behind a semaphore; answers are looked at, not kept."""
    import asyncio

    import litellm

    async def gather(count: int) -> int:
        gate = asyncio.Semaphore(width)

        async def ask(prompt: str) -> bool:
            async with gate:
                reply: Any = await litellm.acompletion(
                    model="openai/mock-model",
                    api_base=base_url,
                    api_key="none",
                    messages=[{"role": "user", "content": prompt}],
                )
            return TARGET in reply.choices[0].message.content

        return sum(await asyncio.gather(*map(ask, prompts(count))))

    return lambda count: require_all(asyncio.run(gather(count)), count, "litellm")


def of_inspect(base_url: str, width: int, _home: str) -> Work:
    """Inspect AI at its fastest: no display, no realtime log, a fixed number of connections."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import includes
    from inspect_ai.solver import generate

    os.environ |= {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "none"}

    def work(count: int) -> None:
        asked = [Sample(id=i, input=text, target=TARGET) for i, text in enumerate(prompts(count))]
        with tempfile.TemporaryDirectory() as folder:
            (log,) = eval(
                Task(dataset=asked, solver=generate(), scorer=includes()),
                model="openai/mock-model",
                model_args={"responses_api": False},
                max_connections=width,
                max_samples=width,
                display="none",
                log_realtime=False,
                log_dir=folder,
            )
        assert log.results is not None, log.error
        right = log.results.scores[0].metrics["accuracy"].value * log.results.completed_samples
        require_all(right, count, log.status)

    return work


def serve(work: Work) -> None:
    """Answer each number on standard input with the seconds that so many samples took."""
    # What is told goes to the real standard output; whatever else is printed must not mix in.
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print("ready", file=told, flush=True)
    for line in sys.stdin:
        begun = time.perf_counter()
        work(int(line))
        print(json.dumps(time.perf_counter() - begun), file=told, flush=True)


SIDES = {"toolkit": of_toolkit, "litellm": of_litellm, "inspect": of_inspect}


def main() -> None:
    name, base_url, width, *home = sys.argv[1:]
    serve(SIDES[name](base_url, int(width), home[0] if home else ""))


if __name__ == "__main__":
    main()
