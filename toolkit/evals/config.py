"""The configuration of an evaluation, from a file or from arguments; it is stored with the run."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypedDict

from toolkit.errors import InvalidInput, StoreError
from toolkit.evals.dataset import Dataset
from toolkit.evals.running.plan import Plan
from toolkit.evals.scoring.score import AnyScorer
from toolkit.evals.scoring.scoring import check_targets, describe_scorers, read_scorers
from toolkit.evals.solvers import Solver, SolverFunction, check_prompts, read_solvers

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.store.store import Store

DatasetLike = Any
"""A `Dataset`, a file, a bundled name, a DataFrame, a list of rows, or `{"sql": ...}`."""
SolverLike = str | Solver | SolverFunction | Mapping[str, Any]
"""A prompt template, a `Solver`, a function of sample and `ask`, or a mapping as in a file."""
ScorerLike = str | Mapping[str, Any] | AnyScorer
"""A scorer by name, as `{"type": ..., ...}`, or a function of the answer."""


class EvalOptions(TypedDict, total=False):
    """The options of an evaluation.

    Attributes:
        name: of the run; default: that of the dataset.
        solvers: prompts to compare, one or several; default: the input alone.
        scorers: one or several scorers; default: `contains` if there are targets.
        epochs: repeats of each sample.
        params: model parameters for all solvers.
        cap_usd: maximum cost of the run, USD.
        concurrency: maximum concurrent calls per provider.
        workers: processes that perform the samples; 1: this process alone.
        backend: where those are: `local` (default), `ray` for the Ray cluster that `RAY_ADDRESS`
            names or this machine belongs to, `ray:HOST:PORT` or `ray://HOST:PORT` for another.
        seed: shuffles the samples.
        reuse: use answers of earlier runs with the same data, models and solvers.
        cache: use earlier answers to identical requests.
        tags: labels of the run.
        thresholds: conditions on mean scores; see docs/evals.md.
    """

    name: str
    solvers: SolverLike | Sequence[SolverLike] | None
    scorers: ScorerLike | Sequence[ScorerLike] | None
    epochs: int
    params: Mapping[str, Any]
    cap_usd: float | None
    concurrency: int | None
    workers: int
    backend: str
    seed: int | None
    reuse: bool
    cache: bool
    tags: Mapping[str, str]
    thresholds: Sequence[Mapping[str, Any]]


RAY: Final = re.compile(r"ray(?::(?P<address>(?!//).+))?|(?P<client>ray://.+)")
OPTIONS: Final = tuple(EvalOptions.__annotations__)
_PLAIN: Final = (
    *("epochs", "cap_usd", "concurrency", "workers", "backend"),
    *("seed", "reuse", "cache", "thresholds"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig:
    """A configured evaluation.

    Attributes:
        name: of the run.
        plan: which samples, models and solvers.
        scorers: by name.
        config: all of it as plain values, stored with the run.
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


def read_config(dataset: Dataset, models: Any, options: Mapping[str, Any]) -> EvalConfig:
    """Build the configuration from a dataset, models and the options of `tk.evaluate`.

    Raises:
        InvalidInput: an option is unknown or not valid.
    """
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        near = get_close_matches(unknown[0], OPTIONS, n=1)
        raise InvalidInput(
            f"there is no option {unknown[0]!r}",
            hint=f"Did you mean {near[0]!r}?" if near else f"Available: {', '.join(OPTIONS)}.",
        )
    for name in ("params", "tags"):
        if not isinstance(options.get(name) or {}, Mapping):
            raise InvalidInput(f"`{name}` is {options[name]!r} and must be a mapping")
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
    for name in ("workers", "concurrency"):
        if options.get(name) is not None:
            _read_count(options[name], name)
    _check_backend(options.get("backend"))
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


def _check_backend(backend: object) -> None:
    is_known = isinstance(backend, str) and (backend == "local" or RAY.fullmatch(backend))
    if backend is not None and not is_known:
        raise InvalidInput(
            f"{backend!r} is not a backend",
            hint="Use local, ray, ray:HOST:PORT or ray://HOST:PORT.",
        )


def read_file(path: Path, store: Store) -> tuple[Dataset, Any, dict[str, Any]]:
    """Read dataset, models and options of a TOML file; paths in it are relative to it.

    Raises:
        InvalidInput: it is missing, not TOML, or lacks `dataset` or `models`.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidInput(f"there is no file {path.name}", hint="Check the path.") from None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path.name} is not a valid TOML file: {error}") from None
    for needed in ("dataset", "models"):
        if needed not in raw:
            raise InvalidInput(f"{path.name} has no `{needed}`")
    dataset = find_dataset(raw.pop("dataset"), store, folder=path.parent)
    raw.setdefault("name", path.stem)
    return dataset, raw.pop("models"), raw


def find_dataset(given: Any, store: Store, folder: Path | None = None) -> Dataset:
    """Find a dataset: itself, a file, a bundled name, a frame, rows, or `{"sql": "SELECT ..."}`.

    Raises:
        InvalidInput: the dataset is unknown or cannot be read.
    """
    if isinstance(given, Dataset):
        return given
    if isinstance(given, str | Path):
        path = (folder or Path()) / given
        return Dataset.from_file(path) if path.suffix else Dataset.bundled(str(given))
    if isinstance(given, Mapping):
        columns = dict(given)
        if "sql" in columns:
            return Dataset.from_frame(_read_sql(store, columns.pop("sql")), **columns)
        if "path" in columns:
            return Dataset.from_file((folder or Path()) / columns.pop("path"), **columns)
    if any(hasattr(given, name) for name in ("to_dict", "to_dicts", "to_pylist")):
        return Dataset.from_frame(given)
    if isinstance(given, Sequence):
        return Dataset.from_rows(given)
    raise InvalidInput(
        f"a {type(given).__name__} is not a dataset",
        hint="Use a Dataset, a file, a bundled name, a DataFrame, or a list of rows.",
    )


def _read_sql(store: Store, sql: Any) -> pd.DataFrame:
    """The rows of a SELECT over the store."""
    if not isinstance(sql, str):
        raise InvalidInput(f"the SQL of the dataset is {sql!r}, not a text")
    try:
        return store.user_frame(sql)
    except StoreError as error:
        if type(error) is not StoreError:  # the store itself cannot be used
            raise
        raise InvalidInput(
            f"the SQL of the dataset failed: {error.message}",
            hint="Try it with `toolkit store sql`; it has to be one SELECT.",
        ) from None


def _read_models(models: Any) -> tuple[str, ...]:
    if not isinstance(models, Iterable):
        raise InvalidInput(
            f"the models are a {type(models).__name__}", hint="Give a list of `provider/model_id`."
        )
    names = (models,) if isinstance(models, str) else tuple(models)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise InvalidInput("no model is given", hint="Name at least one as `provider/model_id`.")
    if len(set(names)) < len(names):
        raise InvalidInput(f"a model is named twice: {', '.join(names)}")
    return names


def _read_count(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInput(f"`{what}` is {value!r} and must be a whole number, at least 1")
    return value


def _read_seed(value: Any) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise InvalidInput(f"`seed` is {value!r} and must be a whole number")
    return value


def _check_cap(value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and value >= 0):
        raise InvalidInput(f"`cap_usd` is {value!r} and must be a number, at least 0")
