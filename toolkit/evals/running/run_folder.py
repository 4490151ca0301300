"""The files of runs in the home folder: the lock of one in progress, and the samples it asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toolkit.evals.dataset import Dataset
from toolkit.evals.running.dependencies import EvalDependencies
from toolkit.files import FileLock, is_locked


def run_lock(home: Path, run_id: str) -> FileLock:
    """The lock that the process of a run holds while it lives: without it, the run has ended."""
    return FileLock(lock_path(home, run_id), remove=True)


def lock_path(home: Path, run_id: str) -> Path:
    """The file of that lock; it is there while the run is in progress."""
    return home / "runs" / f"{run_id}.lock"


def with_real_status(row: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """The row of a run, whose status is `interrupted` where its process ended without a word."""
    is_lost = row["status"] == "running" and not is_locked(lock_path(home, row["run_id"]))
    return {**row, "status": "interrupted" if is_lost else row["status"]}


def dataset_path(home: Path, digest: str) -> Path:
    """Where the samples of this digest are kept."""
    return home / "datasets" / f"{digest}.jsonl"


def keep_dataset(deps: EvalDependencies, dataset: Dataset) -> None:
    """Store the samples in the home folder, so that the run can be resumed from anywhere."""
    path, now = dataset_path(deps.settings.home, dataset.digest), datetime.now(UTC)
    if path.is_file():
        return
    deps.settings.make_home()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    dataset.write(path)
    path.chmod(0o600)
    columns: Sequence[str] = sorted({key for sample in dataset for key in sample.metadata})
    deps.store.append(
        "datasets",
        {
            "dataset_id": dataset.digest,
            "name": dataset.name,
            "path": str(path),
            "sha256": dataset.digest,
            "samples": len(dataset),
            "columns": ["id", "input", "target", *columns],
            "created_at": now,
            "updated_at": now,
        },
    )
