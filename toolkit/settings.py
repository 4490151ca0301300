"""Where everything lives and how it behaves: read once, from `TOOLKIT_*` and `settings.toml`.

The home folder is the user's data folder, or `TOOLKIT_HOME`. It is 0700, files in it 0600.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from toolkit.display import Card, Row, Shown
from toolkit.secret import hide_password

Recording = Literal["full", "hash", "off"]

SHARED_SCHEMES: Final = ("quack:", "ducklake:", "md:")
"""What the URL of a shared database begins with."""


def home_path() -> Path:
    """The home folder (`TOOLKIT_HOME`, else the platform's data folder); it may not exist yet."""
    override = os.environ.get("TOOLKIT_HOME")
    return Path(override).expanduser().absolute() if override else user_data_path("toolkit")


class Settings(Shown, BaseSettings):
    """All settings, from init > environment `TOOLKIT_*` > `settings.toml` in the home > defaults.

    Attributes:
        home: the home folder.
        store: store URL; a path to a DuckDB file, `quack:HOST:PORT` or `ducklake:postgres:...`,
            see docs/sharing.md.
        store_files: folder, or `s3://BUCKET/PREFIX`, of the Parquet files of a DuckLake; needed
            when it is made.
        store_token: token of the server of a shared database; treated as a secret.
        recording: how prompts and answers are kept: `full`, `hash` (digests only) or `off`.
        journal_sync: what a recorded call survives: `normal` a killed process, `full` power loss.
        lock_wait_s: maximum wait for the lock of the database, seconds.
        connect_timeout_s: maximum time to open a connection, seconds.
        first_token_timeout_s: maximum time from the request to the first token, seconds.
        chunk_timeout_s: maximum time between two chunks of a stream, seconds.
        total_timeout_s: maximum time of a whole call, seconds.
        max_retries: maximum retries per request and provider.
        max_event_mib: maximum size of one event of a stream, MiB; an image or a long reasoning
            trace may arrive in one event.
        max_body_mib: maximum size of a decompressed body, MiB.
        max_stream_events: maximum number of events in one stream.
        retry_initial_s: limit of the wait before the first retry, seconds; each wait is chosen at
            random up to its limit.
        retry_max_s: the highest limit of a wait, seconds.
        retry_factor: how many times as high the limit is for each further retry.
        default_rpm: requests per window to a cloud provider that has no `rpm` of its own; 0: no
            limit.
        rate_window_s: length of the window of `rpm` and `tpm`, seconds.
        health_interval_s: seconds between two probes of a provider; 0: no monitor.
        probe_budget_usd: maximum cost of probes and connection tests per UTC day, USD. 0: the
            monitor requests free listings only, and what you start yourself is not capped by it.
        health_webhook_url: URL to which alerts about incidents are posted as JSON; treated as a
            secret.
        objectives: availability and latency objectives by provider, `default` for all; see
            docs/health.md.
        daily_budget_usd: maximum cost of all calls per UTC day, USD; None: no cap.
        budgets: further caps, USD per UTC day, by `provider:NAME`, `model:PROVIDER/MODEL` or
            `tag:KEY=VALUE`.
        budget_unpriced: what budgets do with a request that may use something without a known
            price: `refuse` it, `allow` it (only what has a price is reserved), or reserve and
            count all its tokens at so many USD per million.
        proxy: HTTP proxy of all cloud providers, before `HTTPS_PROXY` of the environment.
            `NO_PROXY` holds for both; local providers never go through a proxy.
        keyring_timeout_s: maximum wait for the OS keyring, seconds.
        chains: failover chains by name, each a list of `provider/model_id`.
        processors: names of processors of installed packages that every request passes, in order.
        request_parsers: names of request parsers of installed packages that the gateway serves.
        metrics_open: whether `/metrics` is answered without a token.
        cache_ttl_s: how long the gateway keeps answers for exact repetitions, seconds, where
            neither the request nor the token says; 0: not at all.
        hedging: by name of a failover chain, after how many milliseconds without an answer the
            gateway calls the chain's second model as well; `p95`: after the 95th percentile of
            the first model's recent calls.
        shadow: by name of a model or chain, a second model to which the gateway copies requests.
        shadow_share: which share of those requests is copied, 0 to 1.
        otlp_endpoint: address of an OpenTelemetry collector that receives OTLP over HTTP, such as
            `http://localhost:4318`; without it, OpenTelemetry's own `OTEL_*` variables decide.
        otlp_content: whether prompts and answers are exported with the spans; only with
            `recording = "full"`.
        otlp_propagate: whether a request to a provider names the trace that it belongs to
            (`traceparent`, `tracestate`).
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix="TOOLKIT_", extra="ignore", frozen=True
    )

    home: Path = Field(default_factory=home_path)
    store: str = ""
    store_files: str = ""
    store_token: SecretStr = SecretStr("")
    recording: Recording = "full"
    journal_sync: Literal["normal", "full"] = "normal"
    lock_wait_s: float = 10.0
    connect_timeout_s: float = 5.0
    first_token_timeout_s: float = 60.0
    chunk_timeout_s: float = 30.0
    total_timeout_s: float = 600.0
    max_retries: int = 2
    max_event_mib: int = Field(default=8, ge=1, le=1024)
    max_body_mib: int = Field(default=32, ge=1, le=4096)
    max_stream_events: int = Field(default=100_000, ge=1)
    retry_initial_s: float = 0.5
    retry_max_s: float = 8.0
    retry_factor: float = 2.0
    default_rpm: int = 60
    rate_window_s: float = 60.0
    health_interval_s: float = 300.0
    probe_budget_usd: float = 0.0
    health_webhook_url: SecretStr = SecretStr("")
    objectives: dict[str, dict[str, float]] = Field(default_factory=dict)
    daily_budget_usd: float | None = None
    budgets: dict[str, float] = Field(default_factory=dict)
    budget_unpriced: Literal["refuse", "allow"] | Annotated[float, Field(ge=0)] = "refuse"
    proxy: str | None = None
    keyring_timeout_s: float = 3.0
    chains: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    processors: tuple[str, ...] = ()
    request_parsers: tuple[str, ...] = ()
    metrics_open: bool = False
    cache_ttl_s: float = Field(default=0.0, ge=0)
    hedging: dict[str, float | Literal["p95"]] = Field(default_factory=dict)
    shadow: dict[str, str] = Field(default_factory=dict)
    shadow_share: float = Field(default=1.0, ge=0, le=1)
    otlp_endpoint: str = Field(default="", pattern=r"^(https?://\S+)?$")
    otlp_content: bool = False
    otlp_propagate: bool = False

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then `settings.toml`; `.env` is never read."""
        given = init_settings().get("home")  # a second home in one process has a file of its own
        home = Path(given).expanduser() if given else home_path()
        return (
            init_settings,
            env_settings,
            TomlConfigSettingsSource(settings_cls, home / "settings.toml"),
        )

    def _card(self) -> Card:
        """Every setting with its value, those that differ from their defaults first."""
        rows: list[Row] = []
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            is_default = value == field.get_default(call_default_factory=True)
            rows.append({"setting": name, "value": _shown(value), "changed": not is_default})
        changed = sum(bool(row["changed"]) for row in rows)
        return Card(
            title=f"{changed} of {len(rows)} settings differ from their defaults",
            rows=sorted(rows, key=lambda row: not row["changed"]),
            notes=[
                f"Set them in {self.home / 'settings.toml'}, or as TOOLKIT_* in the environment."
            ],
        )

    @property
    def store_path(self) -> Path:
        """The DuckDB file: `toolkit.duckdb` in the home, unless `store` is another path."""
        return Path(self.store).expanduser() if self.store else self.home / "toolkit.duckdb"

    @property
    def is_store_shared(self) -> bool:
        """Whether `store` names a database that several homes share, and not a file."""
        return self.store.startswith(SHARED_SCHEMES)

    @property
    def store_token_path(self) -> Path:
        """The token that `toolkit store serve` makes where `store_token` is not set."""
        return self.home / "store_token"

    @property
    def journal_path(self) -> Path:
        """The SQLite journal in front of the store; each store that is named has one of its own."""
        if not self.store:
            return self.home / "journal.sqlite"
        name = self.store if self.is_store_shared else str(self.store_path.absolute())
        digest = hashlib.sha256(name.encode()).hexdigest()
        return self.home / f"journal-{digest[:12]}.sqlite"

    @property
    def registry_path(self) -> Path:
        """The provider registry, `providers.toml`."""
        return self.home / "providers.toml"

    @property
    def vault_path(self) -> Path:
        """The encrypted key vault."""
        return self.home / "vault"

    @property
    def token_path(self) -> Path:
        """Hashes of the HTTP API's tokens."""
        return self.home / "token"

    @property
    def backups_path(self) -> Path:
        """Folder of backups of the store and the registry."""
        return self.home / "backups"

    @property
    def models_path(self) -> Path:
        """Folder of local model files."""
        return self.home / "models"

    def make_home(self) -> Path:
        """Create the home folder (0700) if it is missing and return it.

        Raises:
            OSError: the folder cannot be made (read-only or full disk).
        """
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.home


def _shown(value: object) -> str:
    """The value of a setting for people; a secret is only said to be set."""
    if isinstance(value, SecretStr):
        return "set, not shown" if value.get_secret_value() else "not set"
    if value is None or value in ("", (), {}):
        return "not set"
    return hide_password(str(value))


_MAX_DOTENV_BYTES: Final = 1024 * 1024
_dotenv_cache: dict[str, tuple[tuple[int, int], dict[str, str]]] = {}


def read_dotenv(folder: Path | None = None) -> Mapping[str, str]:
    """Variables of `./.env`; an empty mapping if there is none or it cannot be read.

    They are never exported into the environment. Values are used literally; variables in them
    are not expanded.
    """
    # Read at every call, so without the cost of a Path object: a text, and one look at the file.
    try:
        path = os.path.join(folder or os.getcwd(), ".env")
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_DOTENV_BYTES:
            return {}
        stamp = (status.st_mtime_ns, status.st_size)
        known = _dotenv_cache.get(path)
        if known is None or known[0] != stamp:
            _dotenv_cache[path] = known = (stamp, _parse_dotenv(Path(path)))
    except OSError:
        return {}
    return known[1]


def _parse_dotenv(path: Path) -> dict[str, str]:
    from dotenv import dotenv_values

    try:
        found = dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    except UnicodeDecodeError:
        return {}
    return {name: value.strip() for name, value in found.items() if value and value.strip()}
