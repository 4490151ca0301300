"""How well scorers read answers: precision and recall over labelled sets.

    python -m benchmarks.extraction [--set FILE] [--tools FOLDER]

Each line of a set is an answer as models write them, with what a careful reader says:
`want` is 1 or 0 for a scorer that passes or fails, else the points or the winner that a judge
gave, null where it gave none. Precision is the share of right ones among those that pass; recall
the share that pass among those that should.

`labelled_answers.jsonl` grew beside the extractor and its tests. The answers of
`labelled_answers_unseen.jsonl` were written and labelled without sight of the extractor, so that
its first reading of them is independent; `unseen_first_reading.json` keeps those figures. The
labels of `labelled_answers_third.jsonl`, further kinds of answers, were fixed before its first
reading, which `third_first_reading.json` keeps.

With `--tools`, a folder with `inspect` and `lmeval` (virtual environments with `inspect_ai` and
`lm_eval`) and `promptfoo` (an npm folder), the scorers of those tools read the same answers; a tool
that is not there is named as missing. Prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

SET = Path(__file__).with_name("labelled_answers.jsonl")
Row = Mapping[str, Any]
Read = Callable[[Row], Any]
_SCHEMA = {"type": "object", "required": ["answer"]}


def read_set(path: Path = SET) -> list[dict[str, Any]]:
    """The labelled answers."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def ours() -> dict[str, Read]:
    """Our scorers by the name of the kind of answer."""
    # Imported here, because the environments of the other tools do not have the toolkit.
    from toolkit.evals import scorers
    from toolkit.evals.dataset import Sample
    from toolkit.evals.extract.verdicts import read_points, read_winner
    from toolkit.evals.scorers import Answer, score

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


def of_promptfoo(folder: Path, rows: Sequence[Row]) -> dict[str, Read]:
    """promptfoo: `contains` for numbers, `equals`, and `contains-json` with the schema."""
    asserted: dict[str, Callable[[Row], dict[str, Any]]] = {
        "numeric": lambda row: {"type": "contains", "value": row["target"]},
        "json": lambda _row: {"type": "contains-json", "value": _SCHEMA},
        "exact": lambda row: {"type": "equals", "value": row["target"]},
        "exact_normalized": lambda row: {"type": "equals", "value": row["target"]},
    }
    own = [row for row in rows if row["scorer"] in asserted]
    asked = [{"answer": row["answer"], "assertion": asserted[row["scorer"]](row)} for row in own]
    script = Path(__file__).with_name("extraction_promptfoo.mjs")
    done = subprocess.run(
        ["node", str(script), str(folder)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    scores = {
        json.dumps(row): score for row, score in zip(own, json.loads(done.stdout), strict=True)
    }
    return dict.fromkeys(asserted, lambda row: scores[json.dumps(row)])


def measure_elsewhere(tool: str, folder: Path, path: Path) -> Any:
    """The figures of a Python tool, read in its own environment."""
    python = folder / "bin" / "python"
    if not python.exists():
        return "not installed"
    done = subprocess.run(
        [str(python), "-m", "benchmarks.extraction", "--set", str(path.resolve()), "--only", tool],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr[-600:]


def measure_promptfoo(folder: Path, rows: Sequence[Row]) -> Any:
    """The figures of promptfoo's assertions."""
    package = folder / "node_modules" / "promptfoo" / "package.json"
    if not package.exists():
        return "not installed"
    number = json.loads(package.read_text("utf-8"))["version"]
    return {"version": number, **measure(rows, of_promptfoo(folder, rows))}


def main() -> None:
    """Read the set with every scorer that is at hand and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", type=Path, default=SET, help="file of labelled answers")
    parser.add_argument("--tools", type=Path, help="folder with inspect, lmeval and promptfoo")
    parser.add_argument("--only", choices=("inspect_ai", "lm_eval"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    rows = read_set(options.set)
    if options.only:
        readers = of_inspect() if options.only == "inspect_ai" else of_lm_eval()
        print(json.dumps({"version": version(options.only), **measure(rows, readers)}))
        return
    result: dict[str, Any] = {"answers": len(rows), "toolkit": measure(rows, ours())}
    if options.tools is not None:
        for tool, name in (("inspect_ai", "inspect"), ("lm_eval", "lmeval")):
            result[tool] = measure_elsewhere(tool, options.tools / name, options.set)
        result["promptfoo"] = measure_promptfoo(options.tools / "promptfoo", rows)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
