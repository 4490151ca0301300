"""Functions that a worker process can import."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from toolkit.evals.dataset import Sample


def first_letter(answer: Any) -> float:
    """A scorer: whether answer and target begin alike."""
    return float(answer.text[:1] == str(answer.sample.target)[:1])


async def twice(sample: Sample, ask: Any) -> Any:
    """A solver: two turns."""
    await ask([{"role": "user", "content": "first"}])
    return await ask([{"role": "user", "content": str(sample.input)}])


async def dies_once(sample: Sample, ask: Any) -> Any:
    """A solver: its process is killed at the sample of the metadata, the first time."""
    marker = Path(str(sample.metadata["marker"]))
    if sample.sample_id == "s3" and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    return await ask([{"role": "user", "content": str(sample.input)}])
