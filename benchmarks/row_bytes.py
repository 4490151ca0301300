"""Bytes that one recorded call takes: journal, database, Parquet; with and without its text.

Texts are sentences of random words, which compress worse than real prompts that repeat a template.
Prints JSON.

    python -m benchmarks.row_bytes [--rows 20000]
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.store.rows import call_row
from toolkit.settings import Settings
from toolkit.store.parquet_export import export_parquet
from toolkit.store.store import Store
from toolkit.store.tables import encode_row, require_table

_LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
_PROMPT_WORDS, _ANSWER_WORDS = 250, 150


def rows(count: int, *, has_text: bool) -> list[dict[str, Any]]:
    """Calls of a month, with figures that differ."""
    rng = random.Random(1)
    words = ["".join(rng.choices(_LETTERS, k=rng.randint(2, 9))) for _ in range(4_000)]
    began = datetime(2026, 11, 1, tzinfo=UTC)

    def text(length: int) -> str:
        return " ".join(rng.choices(words, k=length))

    return [
        call_row(
            seq=number,
            started_at=began + timedelta(seconds=number * 100 + rng.random()),
            model=f"model-{rng.randrange(8)}",
            ttft_ms=rng.lognormvariate(6, 0.5),
            duration_ms=rng.lognormvariate(8, 0.5),
            input_tokens=rng.randrange(50, 2_000),
            output_tokens=rng.randrange(10, 500),
            cost_usd=Decimal(rng.randrange(10**6)) / 10**8,
            messages=[{"role": "user", "content": text(_PROMPT_WORDS)}] if has_text else None,
            output_text=text(_ANSWER_WORDS) if has_text else None,
        )
        for number in range(count)
    ]


def measure(count: int, *, has_text: bool) -> dict[str, int]:
    """Bytes per call in each place."""
    given = rows(count, has_text=has_text)
    table = require_table("calls")
    journal = sum(len(encode_row(table, row)) for row in given[:1_000]) / min(count, 1_000)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Settings(home=Path(folder) / "home"))
        store.append_many("calls", given)
        store.close()
        size = store.settings.store_path.stat().st_size
        written = export_parquet(store, Path(folder) / "parquet", ["calls"])
        parquet = sum(file.bytes for file in written)
        store.close()
    return {
        "journal_bytes": round(journal),
        "database_bytes": round(size / count),
        "parquet_bytes": round(parquet / count),
    }


def main() -> None:
    """Measure both kinds of rows and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    count = parser.parse_args().rows
    print(
        json.dumps(
            {
                "rows": count,
                "figures_only": measure(count, has_text=False),
                "with_text": measure(count, has_text=True),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
