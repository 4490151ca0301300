"""What an evaluation is, as a file tells it or a person gives it: read once, kept with the run."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from toolkit.errors import InvalidInput
from toolkit.evals.dataset import Dataset
from toolkit.evals.running.plan import Plan
from toolkit.evals.scoring.score import AnyScorer
from toolkit.evals.scoring.scoring import check_targets, describe_scorers, read_scorers
from toolkit.evals.solvers import check_prompts, read_solvers

if TYPE_CHECKING:
    from toolkit.store.store import Store

OPTIONS: Final = (
    "name",
    "solvers",
    "scorers",
    "epochs",
    "params",
    "cap_usd",
    "concurrency",
    "seed",
    "reuse",
    "cache",
    "tags",
    "thresholds",
)
_PLAIN: Final = ("epochs", "cap_usd", "concurrency", "seed", "reuse", "cache", "thresholds")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig:
    """An evaluation that was ordered.

    Attributes:
        name: for people.
        plan: what to ask.
        scorers: who judges, by name.
        config: all of it as plain values, kept with the run.
        tags: the caller's labels.
    """

    name: str
    plan: Plan
    scorers: Mapping[str, AnyScorer]
    config: Mapping[str, Any]
    tags: Mapping[str, str]

    def get(self, option: str, otherwise: Any = None) -> Any:
        """An option's value."""
        value = self.config.get(option)
        return otherwise if value is None else value


def read_order(dataset: Dataset, models: Any, options: Mapping[str, Any]) -> EvalConfig:
    """An order from a dataset, models and the options of `tk.evaluate`.

    Raises:
        InvalidInput: an option is unknown or makes no sense.
    """
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise InvalidInput(
            f"there is no option {unknown[0]!r}", hint=f"There are {', '.join(OPTIONS)}."
        )
    names = _read_models(models)
    epochs = _read_count(options.get("epochs", 1), "epochs")
    solvers = read_solvers(options.get("solvers"), options.get("params") or {})
    seed = _read_seed(options.get("seed"))
    plan = Plan(dataset=dataset, models=names, solvers=solvers, epochs=epochs, seed=seed)
    given = options.get("scorers")
    has_targets = any(sample.target is not None for sample in dataset)
    default = ["contains"] if has_targets else []
    scorers = read_scorers(given, default=default)
    _check_cap(options.get("cap_usd"))
    # Whatever can be wrong with the data is found here, before the first call is paid for.
    check_prompts(solvers, dataset)
    check_targets(scorers, dataset)
    config = {
        "dataset": dataset.name,
        "models": list(names),
        "solvers": [solver.describe() for solver in solvers],
        "scorers": describe_scorers(given, default=default),
        **{name: options[name] for name in _PLAIN if options.get(name) is not None},
    }
    return EvalConfig(
        name=str(options.get("name") or dataset.name),
        plan=plan,
        scorers=scorers,
        config=config,
        tags={str(k): str(v) for k, v in (options.get("tags") or {}).items()},
    )


def read_file(path: Path, store: Store) -> tuple[Dataset, Any, dict[str, Any]]:
    """Dataset, models and options of an evaluation's TOML file; paths stand relative to it.

    Raises:
        InvalidInput: it is missing, no TOML, or lacks `dataset` or `models`.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidInput(f"there is no file {path.name}", hint="Check the path.") from None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path.name} is no TOML file: {error}") from None
    for needed in ("dataset", "models"):
        if needed not in raw:
            raise InvalidInput(f"{path.name} has no `{needed}`")
    dataset = find_dataset(raw.pop("dataset"), store, folder=path.parent)
    raw.setdefault("name", path.stem)
    return dataset, raw.pop("models"), raw


def find_dataset(given: Any, store: Store, folder: Path | None = None) -> Dataset:
    """A dataset from what stands for one: itself, a file, a bundled name, a frame, `{"sql": ...}`.

    Raises:
        InvalidInput: there is no such dataset, or it cannot be read.
    """
    if isinstance(given, Dataset):
        return given
    if isinstance(given, str | Path):
        path = (folder or Path()) / given
        return Dataset.from_file(path) if path.suffix else Dataset.bundled(str(given))
    if isinstance(given, Mapping):
        columns = dict(given)
        if "sql" in columns:
            return Dataset.from_frame(store.user_frame(columns.pop("sql")), **columns)
        if "path" in columns:
            return Dataset.from_file((folder or Path()) / columns.pop("path"), **columns)
    if any(hasattr(given, name) for name in ("to_dict", "to_dicts", "to_pylist")):
        return Dataset.from_frame(given)
    if isinstance(given, Sequence):
        return Dataset.from_rows(given)
    raise InvalidInput("a dataset is a Dataset, a file, a bundled name or a DataFrame")


def _read_models(models: Any) -> tuple[str, ...]:
    names = (models,) if isinstance(models, str) else tuple(models)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise InvalidInput("no model is given", hint="Name at least one `provider/model_id`.")
    if len(set(names)) < len(names):
        raise InvalidInput(f"a model stands twice: {', '.join(names)}")
    return names


def _read_count(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInput(f"`{what}` is {value!r} and must be a whole number from 1 on")
    return value


def _read_seed(value: Any) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise InvalidInput(f"`seed` is {value!r} and must be a whole number")
    return value


def _check_cap(value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and value >= 0):
        raise InvalidInput(f"`cap_usd` is {value!r} and must be a number from 0 on")
