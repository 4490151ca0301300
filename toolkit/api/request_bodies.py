"""What may be sent to the provider API: allow lists, checked before any route runs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

ProviderType = Literal[
    "openai",
    "openai-compatible",
    "anthropic",
    "anthropic-compatible",
    "gemini",
    "ollama",
    "azure",
    "custom",
]
_NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"


class ProviderFields(BaseModel):
    """What can be changed on a provider; a field that is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    display_name: str | None = Field(None, max_length=200)
    type: ProviderType | None = None
    base_url: str | None = Field(None, max_length=2048)
    default_model: str | None = Field(None, max_length=512)
    headers: dict[str, str] | None = Field(None, max_length=32)
    params: dict[str, Any] | None = None
    timeout_s: float | None = Field(None, gt=0, le=86_400)
    max_retries: int | None = Field(None, ge=0, le=20)
    rpm: int | None = Field(None, ge=1, le=10_000_000)
    tpm: int | None = Field(None, ge=1, le=10_000_000_000)
    auto_sync: bool | None = None

    def given(self) -> dict[str, Any]:
        """The fields that the caller sent, without the key."""
        return self.model_dump(exclude_unset=True, exclude={"api_key", "name", "test", "local"})


class ProviderUpdate(ProviderFields):
    """The body of `PUT /api/providers/{name}`."""

    api_key: SecretStr | None = Field(None, max_length=65_536, description="Never returned.")
    is_active: bool | None = None
    is_default: bool | None = None


class ProviderCreate(ProviderFields):
    """The body of `POST /api/providers`."""

    name: str = Field(pattern=_NAME, examples=["my-server"])
    base_url: str = Field(max_length=2048, examples=["http://127.0.0.1:8080/v1"])
    api_key: SecretStr | None = Field(None, max_length=65_536, description="Never returned.")
    local: bool = Field(False, description="It runs on this machine or network.")
    test: bool = Field(True, description="Test it first, and save nothing when a test fails.")


class ProviderTrial(BaseModel):
    """The body of `POST /api/providers/test`: what to test, and nothing is saved."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, pattern=_NAME, description="A provider that is there already.")
    type: ProviderType | None = None
    base_url: str | None = Field(None, max_length=2048)
    api_key: SecretStr | None = Field(None, max_length=65_536)
    headers: dict[str, str] | None = Field(None, max_length=32)
    local: bool = False
    default_model: str | None = Field(None, max_length=512)
    call: bool = Field(False, description="Also ask the model one thing, which may cost money.")


class Enabled(BaseModel):
    """The body of `PUT /api/providers/{name}/models/{model_id}/enable`."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = True


class HealthCheck(BaseModel):
    """The body of `POST /api/health/check`; without a name, every active provider is checked."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, pattern=_NAME)
