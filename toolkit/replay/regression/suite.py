"""A regression suite: a folder with `suite.toml`, its cases, and one cassette per case."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import yaml

from toolkit.errors import InvalidInput
from toolkit.records import Message
from toolkit.replay.cassettes.cassette_file import load_yaml
from toolkit.replay.cassettes.cassette_lint import CASES_STEM
from toolkit.replay.cassettes.cassette_path import FOLDER, is_file_name
from toolkit.replay.regression.case_checks import KINDS, Check, parse_check

FILE_NAME: Final = "suite.toml"
MAX_CASES_BYTES: Final = 16 * 1024 * 1024
_SUITE_KEYS: Final = {"name", "models", "repeats", "defaults", "thresholds"}
_THRESHOLDS: Final = {"alpha", "max_regressed"}
_CASE_KEYS: Final = {"id", "prompt", "messages", "system", "params", "stream", "models", "checks"}
_SUFFIXES: Final = (".yaml", ".yml", ".csv", ".jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request and the checks of its answer.

    Attributes:
        name: unique in its suite; the cassette is `<name>.yaml`.
        messages: the conversation in OpenAI's format.
        params: parameters in OpenAI's names, the suite's defaults included.
        stream: whether to stream.
        models: `provider/model_id` of each model to call.
        checks: at least one.
    """

    name: str
    messages: tuple[Message, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False
    models: tuple[str, ...]
    checks: tuple[Check, ...]

    @property
    def expects_error(self) -> bool:
        """Whether the call is expected to fail."""
        return any(check.expects_error for check in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A folder of cases.

    Attributes:
        name: of the suite; default: that of the folder.
        folder: its path, with cassettes and baseline.
        cases: in the order of their files.
        repeats: live calls per case.
        alpha: significance level.
        max_regressed: accepted number of regressed cases.
    """

    name: str
    folder: Path
    cases: tuple[Case, ...]
    repeats: int = 3
    alpha: float = 0.05
    max_regressed: int = 0

    def cassette_of(self, case: Case) -> Path:
        """The case's cassette."""
        return self.folder / f"{case.name}.yaml"

    @property
    def baseline_path(self) -> Path:
        """The file of accepted outcomes."""
        return self.folder / "baseline.json"

    def only(self, names: Sequence[str]) -> Suite:
        """The suite with only these cases (all if none is given).

        Raises:
            InvalidInput: there is no such case.
        """
        known = {case.name for case in self.cases}
        if missing := [name for name in names if name not in known]:
            raise InvalidInput(f"the suite {self.name} has no case {missing[0]!r}")
        kept = tuple(case for case in self.cases if not names or case.name in names)
        return replace(self, cases=kept)


def find_suite(name: str | Path) -> Path:
    """The folder of a suite: a path, or the name of a folder in `cassettes/`.

    Raises:
        InvalidInput: there is no such folder, or it contains no suite.
    """
    tried = [Path(name), FOLDER / name]
    for folder in tried:
        if (folder / FILE_NAME).is_file():
            return folder
    if there := next((folder for folder in tried if folder.is_dir()), None):
        raise InvalidInput(
            f"{there} is not a suite: it has no {FILE_NAME}",
            hint=f"A suite is a folder with {FILE_NAME} and {CASES_STEM}.yaml.",
        )
    raise InvalidInput(f"there is no suite {str(name)!r}", hint=f"Looked in . and {FOLDER}/.")


def load_suite(name: str | Path) -> Suite:
    """Read and validate a suite.

    Raises:
        InvalidInput: a file or case is not valid; the message names it.
    """
    folder = find_suite(name)
    facts = _read_toml(folder / FILE_NAME)
    thresholds = facts.get("thresholds", {})
    cases = tuple(
        _case(row, where, facts) for path in _case_files(folder) for row, where in _rows(path)
    )
    _require_unique(cases, folder)
    return Suite(
        name=str(facts.get("name", folder.resolve().name)),
        folder=folder,
        cases=cases,
        repeats=_whole(facts.get("repeats", 3), "repeats", at_least=1),
        alpha=_share(thresholds.get("alpha", 0.05)),
        max_regressed=_whole(thresholds.get("max_regressed", 0), "max_regressed", at_least=0),
    )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        facts = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from None
    _refuse_unknown(facts, _SUITE_KEYS, str(path))
    for name in ("defaults", "thresholds"):
        if not isinstance(facts.get(name, {}), dict):
            raise InvalidInput(f"{path}: `{name}` must be a table")
    _refuse_unknown(facts.get("thresholds", {}), _THRESHOLDS, f"{path}, thresholds")
    return facts


def _refuse_unknown(facts: Mapping[str, Any], known: set[str], where: str) -> None:
    if unknown := sorted(set(facts) - known):
        raise InvalidInput(
            f"{where}: there is no setting {unknown[0]!r}",
            hint=f"Known settings are {', '.join(sorted(known))}.",
        )


def _case_files(folder: Path) -> list[Path]:
    stems = (CASES_STEM, f"{CASES_STEM}-")
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix in _SUFFIXES and (path.stem == stems[0] or path.stem.startswith(stems[1]))
    ]
    if not found:
        raise InvalidInput(
            f"the suite {folder} has no cases",
            hint=f"Write them into {CASES_STEM}.yaml, {CASES_STEM}.csv or {CASES_STEM}.jsonl.",
        )
    return found


def _rows(path: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The rows of a file of cases, each with its position."""
    if path.stat().st_size > MAX_CASES_BYTES:
        raise InvalidInput(f"{path} is larger than {MAX_CASES_BYTES >> 20} MB")
    try:
        text = path.read_text("utf-8")
        rows = _parse(path, text)
    except (OSError, ValueError, yaml.YAMLError, csv.Error, RecursionError) as error:
        words = getattr(error, "problem", None) or str(error) or type(error).__name__
        raise InvalidInput(f"{path} cannot be read: {words}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidInput(f"{path} is not a list of cases", hint="Each case must be a mapping.")
    for number, row in enumerate(rows, 1):
        name = row.get("id")
        yield row, f"{path.name}, case {name if isinstance(name, str) else number}"


def _parse(path: Path, text: str) -> Any:
    if path.suffix == ".csv":
        return [_plain_row(row) for row in csv.DictReader(text.splitlines(keepends=True))]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return load_yaml(text)


def _plain_row(row: Mapping[str | None, Any]) -> dict[str, Any]:
    """Parse a row of a table: empty cells are ignored; columns named after checks are checks."""
    if None in row:
        raise ValueError("a row has more cells than the header")
    cells = {str(name): value for name, value in row.items() if value not in (None, "")}
    for name in ("messages", "params", "checks", "models", "stream"):
        if name in cells:
            cells[name] = json.loads(cells[name])
    return cells


def _case(row: Mapping[str, Any], where: str, facts: Mapping[str, Any]) -> Case:
    checks = [{kind: row[kind]} for kind in KINDS if kind in row]
    _refuse_unknown({k: v for k, v in row.items() if k not in KINDS}, _CASE_KEYS, where)
    defaults = dict(facts.get("defaults", {}))
    system = row.get("system", defaults.pop("system", None))
    stream = row.get("stream", defaults.pop("stream", False))
    try:
        return Case(
            name=_name(row.get("id")),
            messages=_messages(row, system),
            params={**defaults, **_mapping(row.get("params"), "params")},
            stream=_flag(stream),
            models=_models(row.get("models", facts.get("models"))),
            checks=_checks([*_list(row.get("checks"), "checks"), *checks]),
        )
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error.message}", hint=error.hint) from None


def _name(value: Any) -> str:
    if not isinstance(value, str) or not is_file_name(value):
        raise InvalidInput(
            f"{value!r} is not a valid case id",
            hint="The id is used as a file name: letters, digits, `.`, `_` and `-`.",
        )
    if value == CASES_STEM or value.startswith(f"{CASES_STEM}-"):
        raise InvalidInput(f"the id {value!r} is reserved for files of cases")
    return value


def _messages(row: Mapping[str, Any], system: Any) -> tuple[Message, ...]:
    asked = row.get("messages", row.get("prompt"))
    if isinstance(asked, str) and asked.strip():
        asked = [{"role": "user", "content": asked}]
    if not isinstance(asked, list) or not asked:
        raise InvalidInput("it has no prompt", hint="Add a `prompt` or `messages`.")
    if not all(isinstance(message, dict) and "role" in message for message in asked):
        raise InvalidInput("each message must be a mapping with a `role`")
    for message in asked:
        # `{content: Hello, you}` in YAML is a content "Hello" and a field "you" without a value.
        if empty := [k for k, v in message.items() if v is None and k != "content"]:
            raise InvalidInput(
                f"a message has the field {empty[0]!r} without a value",
                hint="Quote strings that contain a comma.",
            )
    if system and asked[0]["role"] != "system":
        asked = [{"role": "system", "content": str(system)}, *asked]
    return tuple(asked)


def _checks(raw: list[Any]) -> tuple[Check, ...]:
    if not raw:
        raise InvalidInput(
            "it has no checks, so it could never fail",
            hint=f"Add at least one of {', '.join(KINDS)}.",
        )
    return tuple(parse_check(check) for check in raw)


def _models(value: Any) -> tuple[str, ...]:
    models = [value] if isinstance(value, str) else value
    if not isinstance(models, list) or not models:
        raise InvalidInput("no model is given", hint='Set `models = ["provider/model_id"]`.')
    if not all(isinstance(model, str) and "/" in model.strip("/") for model in models):
        raise InvalidInput(f"{models!r} are no `provider/model_id`")
    return tuple(dict.fromkeys(models))


def _require_unique(cases: Sequence[Case], folder: Path) -> None:
    seen: set[str] = set()
    for case in cases:
        if case.name.lower() in seen:  # some file systems are not case-sensitive
            raise InvalidInput(f"the suite {folder} has the case {case.name!r} twice")
        seen.add(case.name.lower())
    if not cases:
        raise InvalidInput(f"the suite {folder} has no cases")


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"`{what}` must be a mapping")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidInput(f"`{what}` must be a list")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(f"`stream` must be true or false, not {value!r}")
    return value


def _whole(value: Any, what: str, *, at_least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise InvalidInput(f"`{what}` must be a whole number of at least {at_least}, not {value!r}")
    return value


def _share(value: Any) -> float:
    if not isinstance(value, int | float) or not 0 < value < 1:
        raise InvalidInput(f"`alpha` must be between 0 and 1, not {value!r}")
    return float(value)
