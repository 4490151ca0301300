"""A first eval, written to disk: a config and a small dataset that run on the built-in model."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from toolkit.errors import InvalidInput
from toolkit.files import SHARED, write_atomic

_CONFIG: Final = """\
# A first eval. Run it: toolkit eval run eval.toml
name = "first eval"
dataset = "questions.csv"          # columns: input, target; other columns are metadata
models = ["{model}"]               # any models: ["openai/gpt-5-mini", "anthropic/claude-haiku-4-5"]
scorers = ["contains"]             # also: exact, numeric, choice, json_schema, judge, ...
# epochs = 3                       # ask each question three times
# cap_usd = 0.50                   # stop before the run costs more than this

[params]
max_tokens = 32
temperature = 0

# Compare two ways of asking: each [[solvers]] table is a variant.
# [[solvers]]
# name = "plain"
# [[solvers]]
# name = "one word"
# prompt = "Answer with one word. {{{{ input }}}}"

# [[thresholds]]                   # exit code 1 if missed
# scorer = "contains"
# at_least = 0.5
"""
_QUESTIONS: Final = """\
input,target
What is the capital of France?,Paris
What is the capital of Italy?,Rome
Which planet do we live on?,Earth
What colour is the sky on a clear day?,blue
How many days are there in a week?,"[""7"", ""seven""]"
What do bees make?,honey
Which animal says meow?,cat
What is frozen water called?,ice
"""


def write_starter(folder: Path, *, model: str, force: bool = False) -> list[Path]:
    """Write `eval.toml` and `questions.csv`.

    Raises:
        InvalidInput: one of them exists, or the folder cannot be written.
    """
    if '"' in model or "\n" in model or "/" not in model:
        raise InvalidInput(f"{model!r} is not a model", hint="Name it as provider/model_id.")
    contents = {
        folder / "eval.toml": _CONFIG.format(model=model),
        folder / "questions.csv": _QUESTIONS,
    }
    existing = [path for path in contents if path.exists()]
    if existing and not force:
        raise InvalidInput(
            f"{existing[0]} already exists", hint="Choose another folder, or add `--force`."
        )
    try:
        for path, content in contents.items():
            write_atomic(path, content, mode=SHARED)
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be written: {error.strerror}") from None
    return list(contents)
