"""The request bodies of the provider API: allow lists, checked before any route runs."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from toolkit.keys.encryption import MIN_PASSPHRASE

_NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"
StoreName = Literal["keyring", "vault"]
Key = Annotated[SecretStr, Field(min_length=1, max_length=65_536)]
NewPassphrase = Annotated[SecretStr, Field(min_length=MIN_PASSPHRASE, max_length=65_536)]


class Body(BaseModel):
    """A request body: fields that are not listed are refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


class ModelFields(Body):
    """What applies to one model instead of its provider's own values."""

    params: dict[str, Any] | None = None
    system_prompt: str | None = Field(None, max_length=100_000)
    prompt_template: str | None = Field(None, max_length=100_000, description="Holds `{text}`.")
    max_input_tokens: int | None = Field(None, ge=0, le=1_000_000_000)


class ProviderFields(ModelFields):
    """What can be set on a provider; a field that is left out stays as it is."""

    display_name: str | None = Field(None, max_length=200)
    type: str | None = Field(None, max_length=64, description="Detected from the URL by default.")
    base_url: str | None = Field(None, max_length=2048, examples=["http://127.0.0.1:8080/v1"])
    default_model: str | None = Field(None, max_length=512)
    headers: dict[str, str] | None = Field(None, max_length=32)
    model_settings: dict[str, ModelFields] | None = Field(None, max_length=1000)
    key_env: list[str] | None = Field(None, max_length=32)
    timeout_s: float | None = Field(None, gt=0, le=86_400)
    max_retries: int | None = Field(None, ge=0, le=20)
    retry_initial_s: float | None = Field(None, ge=0, le=3_600)
    retry_max_s: float | None = Field(None, ge=0, le=86_400)
    retry_factor: float | None = Field(None, ge=1, le=100)
    rpm: int | None = Field(None, ge=0, le=10_000_000, description="0: no limit.")
    tpm: int | None = Field(None, ge=0, le=10_000_000_000, description="0: no limit.")
    rate_window_s: float | None = Field(None, gt=0, le=86_400)
    auto_sync: bool | None = None
    sync_interval_s: float | None = Field(None, ge=1)
    api_key: Key | None = Field(None, description="Stored in the key store; never returned.")
    key_store: StoreName = Field("keyring", description="Where the key and secret headers go.")
    test: bool = Field(True, description="Test first, and save nothing when a check fails.")

    def given(self) -> dict[str, Any]:
        """The fields of a provider that the caller sent; null takes one back to its default."""
        ours = {"api_key", "key_store", "test", "name", "local", "is_active", "is_default"}
        return self.model_dump(exclude_unset=True, exclude=ours)

    @property
    def key(self) -> str | None:
        """The key in plain text, where one was sent."""
        return None if self.api_key is None else self.api_key.get_secret_value()


class ProviderUpdate(ProviderFields):
    """The body of `PUT /api/providers/{name}`."""

    header_changes: dict[str, str | None] | None = Field(
        None, max_length=32, description="Single headers; null removes one."
    )
    is_local: bool | None = None
    is_active: bool | None = None
    is_default: bool | None = None


class ProviderCreate(ProviderFields):
    """The body of `POST /api/providers`; the name of a preset needs no base URL."""

    name: str = Field(pattern=_NAME, examples=["my-server"])
    local: bool = Field(False, description="The provider runs on this machine or network.")


class ProviderTrial(Body):
    """The body of `POST /api/providers/test`: what to test; nothing is saved."""

    name: str | None = Field(None, pattern=_NAME, description="A provider that exists.")
    type: str | None = Field(None, max_length=64)
    base_url: str | None = Field(None, max_length=2048)
    api_key: Key | None = None
    headers: dict[str, str] | None = Field(None, max_length=32)
    local: bool = False
    default_model: str | None = Field(None, max_length=512)
    call: bool = Field(False, description="Also call the model, which may cost money.")


class KeySet(Body):
    """The body of `PUT /api/providers/{name}/keys`."""

    value: Key = Field(description="Never returned.")
    name: str = Field("default", pattern=_NAME, description="Which of several keys.")
    store: StoreName = "keyring"
    check: bool = Field(True, description="Check the key with the provider before it is stored.")


class KeyRotate(Body):
    """The body of `POST /api/providers/{name}/keys/rotate`."""

    value: Key = Field(description="Never returned.")
    name: str = Field("default", pattern=_NAME)
    call: bool = Field(False, description="Test it with a call, which may cost money.")


class Export(Body):
    """The body of `POST /api/providers/export`; with a passphrase, stored keys are included."""

    names: list[str] | None = Field(None, max_length=10_000)
    style: Literal["json", "toml"] = "json"
    passphrase: NewPassphrase | None = Field(None, description="Encrypts the export with its keys.")


class Import(Body):
    """The body of `POST /api/providers/import`."""

    document: str = Field(max_length=8 * 1024 * 1024, description="The result of an export.")
    on_conflict: Literal["skip", "replace", "rename"] = "skip"
    dry_run: bool = Field(False, description="Only report what would change.")
    skip_refused: bool = False
    passphrase: Key | None = None
    key_store: StoreName = "keyring"


class Enabled(Body):
    """The body of `PUT /api/providers/{name}/models/{model_id}/enable`."""

    enabled: bool = True


class CapabilityProbe(Body):
    """The body of `POST /api/providers/{name}/models/{model_id}/probe`."""

    capabilities: list[str] | None = Field(None, max_length=10, description="Default: all.")
    confirm: bool = Field(False, description="Send the requests; otherwise only their cost.")


class HealthCheck(Body):
    """The body of `POST /api/health/check`; without a name, every active provider is checked."""

    name: str | None = Field(None, pattern=_NAME)
