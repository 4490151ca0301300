"""How well scorers read answers: precision and recall over a labelled set.

    python -m benchmarks.extraction [--tools FOLDER]

`labelled_answers.jsonl` holds answers as models write them, each with what a careful reader says:
`want` is 1 or 0 for a scorer that passes or fails, else the points or the winner that a judge
gave, null where it gave none. Precision is the share of right ones among those that pass; recall
the share that pass among those that should. With `--tools`, a folder with `inspect_ai` and
`lm_eval` installed (`pip install --target FOLDER inspect_ai lm_eval`), their scorers read the same
answers. Prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from toolkit.evals import scorers
from toolkit.evals.dataset import Sample
from toolkit.evals.extract.verdicts import read_points, read_winner
from toolkit.evals.scorers import Answer, score

SET = Path(__file__).with_name("labelled_answers.jsonl")
Row = Mapping[str, Any]
Read = Callable[[Row], Any]
_SCHEMA = {"type": "object", "required": ["answer"]}


def read_set() -> list[dict[str, Any]]:
    """The labelled answers."""
    return [json.loads(line) for line in SET.read_text("utf-8").splitlines()]


def ours() -> dict[str, Read]:
    """Our scorers by the name of the kind of answer."""
    made = {
        "numeric": scorers.numeric(),
        "choice": scorers.choice(letters="ABCD"),
        "json": scorers.json_schema(_SCHEMA),
        "exact": scorers.exact(),
        "exact_normalized": scorers.exact(normalize=True),
    }

    def by(scorer: scorers.Scorer) -> Read:
        def read(row: Row) -> Any:
            sample = Sample(sample_id="s", input="q", target=row["target"])
            return score(scorer, Answer(sample=sample, text=row["answer"])).value

        return read

    found: dict[str, Read] = {name: by(scorer) for name, scorer in made.items()}
    found["points"] = lambda row: read_points(row["answer"], top=5)
    found["winner"] = lambda row: read_winner(row["answer"])
    return found


def of_inspect() -> dict[str, Read]:
    """Inspect AI's scorers: `match(numeric=True)`, `answer("letter")`, `exact()`."""
    kit = import_module("inspect_ai.scorer")
    state = import_module("inspect_ai.solver").TaskState
    output = import_module("inspect_ai.model").ModelOutput

    def by(scorer: Any) -> Read:
        def read(row: Row) -> Any:
            asked = state(
                model="mockllm/model",
                sample_id=1,
                epoch=1,
                input="q",
                messages=[],
                output=output.from_content("mockllm/model", row["answer"]),
            )
            try:
                found = asyncio.run(scorer(asked, kit.Target(row["target"])))
            except Exception:  # noqa: BLE001 - an answer that a scorer cannot take is not passed
                return 0
            return float(found is not None and found.value in ("C", 1, 1.0))

        return read

    return {
        "numeric": by(kit.match(numeric=True)),
        "choice": by(kit.answer("letter")),
        "exact": by(kit.exact()),
        "exact_normalized": by(kit.exact()),
    }


def of_lm_eval() -> dict[str, Read]:
    """lm-evaluation-harness: GSM8K's flexible extraction, and the letter of its MMLU-Pro task."""
    kit = import_module("lm_eval.filters.extraction")
    numbers = kit.RegexFilter(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", group_select=-1)
    letters = kit.RegexFilter(r"answer is \(?([ABCDEFGHIJ])\)?", group_select=0)

    def apply(chosen: Any, row: Row) -> str:
        return str(chosen.apply([[row["answer"]]], [{}])[0][0])

    def number(row: Row) -> float:
        # `exact_match` of the task ignores these marks.
        strip = re.compile(r",|\$|.*#### |\.$")
        return float(strip.sub("", apply(numbers, row)) == strip.sub("", row["target"]))

    return {
        "numeric": number,
        "choice": lambda row: float(apply(letters, row) == row["target"]),
    }


def measure(rows: Sequence[Row], readers: Mapping[str, Read]) -> dict[str, Any]:
    """Precision, recall and accuracy by kind of answer."""
    found: dict[str, Any] = {}
    for kind, read in readers.items():
        own = [row for row in rows if row["scorer"] == kind]
        got = [(read(row), row["want"]) for row in own]
        if kind in ("points", "winner"):
            given = [(value, want) for value, want in got if value is not None]
            wanted = sum(want is not None for _, want in got)
            right = sum(value == want for value, want in given)
            passed = len(given)
        else:
            passed = sum(value == 1 for value, _ in got)
            wanted = sum(want == 1 for _, want in got)
            right = sum(value == want == 1 for value, want in got)
        found[kind] = {
            "answers": len(own),
            "precision": round(right / passed, 4) if passed else None,
            "recall": round(right / wanted, 4) if wanted else None,
            "accuracy": round(sum(value == want for value, want in got) / len(own), 4),
        }
    return found


def main() -> None:
    """Read the set with every scorer that is at hand and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", type=Path, help="folder with inspect_ai and lm_eval")
    tools = parser.parse_args().tools
    if tools is not None:
        sys.path.append(str(tools))
    rows = read_set()
    result: dict[str, Any] = {"answers": len(rows), "toolkit": measure(rows, ours())}
    for name, make in (("inspect_ai", of_inspect), ("lm_eval", of_lm_eval)):
        try:
            result[name] = {"version": version(name), **measure(rows, make())}
        except (ImportError, PackageNotFoundError) as error:
            result[name] = f"not installed: {error}"
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
