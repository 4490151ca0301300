"""The registry: presets and custom providers in one list, kept in a file that people edit too."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pytest

from toolkit.errors import InvalidProvider, ProviderExists, ProviderNotFound
from toolkit.providers.provider import presets
from toolkit.providers.registry import Registry

URL = "https://llm.corp.example/v1"


def test_an_untouched_home_has_every_preset_and_writes_nothing(registry, home):
    assert len(registry.list()) == len(presets())
    assert not home.exists()


def test_a_preset_can_be_called_without_an_entry(registry):
    provider, model = registry.resolve("openai/gpt-5-mini")
    assert (provider.name, model) == ("openai", "gpt-5-mini")
    provider, model = registry.resolve("local/smollm2-135m")
    assert provider.is_local and not provider.needs_key
    assert registry.resolve("local")[1] == "smollm2-135m"


def test_a_models_id_may_hold_slashes(registry):
    provider, model = registry.resolve("openrouter/meta-llama/llama-3.3:free")
    assert (provider.name, model) == ("openrouter", "meta-llama/llama-3.3:free")


def test_an_unknown_provider_is_told_with_close_names(registry):
    with pytest.raises(ProviderNotFound) as missing:
        registry.resolve("opnai/gpt-5")
    assert "openai" in missing.value.hint
    with pytest.raises(ProviderNotFound):
        registry.resolve("")


def test_no_model_and_no_default_model_is_told(registry):
    with pytest.raises(InvalidProvider) as wrong:
        registry.resolve("openai/")
    assert wrong.value.cause == "model"
    registry.update("openai", default_model="gpt-5-mini")
    assert registry.resolve("openai")[1] == "gpt-5-mini"


def test_a_provider_comes_back_as_it_was_added(registry, settings):
    registry.add(
        "corp",
        base_url=f"{URL}/",
        display_name="Corporate",
        headers={"X-Team": "blue"},
        params={"temperature": 0.2, "stop": ["a"]},
        timeout_s=30,
        max_retries=0,
        rpm=60,
        tpm=1000,
        key_env=("CORP_KEY",),
    )
    again = Registry(settings).require("corp")
    assert again.base_url == URL
    assert again.type == "openai-compatible"
    assert again.headers == {"X-Team": "blue"}
    assert again.params == {"temperature": 0.2, "stop": ["a"]}
    assert (again.timeout_s, again.max_retries, again.rpm, again.tpm) == (30.0, 0, 60, 1000)
    assert again.key_env == ("CORP_KEY",)
    assert again.key_origin == again.origin == "https://llm.corp.example:443"
    assert again.needs_key
    assert again.tested_at is None
    assert again.created_at is not None


def test_a_taken_name_is_refused(registry):
    registry.add("corp", base_url=URL)
    with pytest.raises(ProviderExists):
        registry.add("corp", base_url=URL)
    registry.remove("corp")
    with pytest.raises(ProviderExists) as taken:
        registry.add("corp", base_url=URL)
    assert "restore" in taken.value.hint


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"base_url": "http://llm.corp.example"},
        {"base_url": URL, "type": "openia"},
        {"base_url": URL, "rpm": -1},
        {"base_url": URL, "rpm": 1.5},
        {"base_url": URL, "rpm": True},
        {"base_url": URL, "timeout_s": float("nan")},
        {"base_url": URL, "timeout_s": -1},
        {"base_url": URL, "max_retries": 21},
        {"base_url": URL, "params": {"api_key": "x"}},
        {"base_url": URL, "params": {"x": float("inf")}},
        {"base_url": URL, "params": {"x": object()}},
        {"base_url": URL, "params": {"x": "y" * 40_000}},
        {"base_url": URL, "headers": {"X-Auth-Token": "abc"}},
        {"base_url": URL, "display_name": "a\nb"},
        {"base_url": URL, "key_env": "CORP_KEY"},
        {"base_url": URL, "key_env": ("not a name",)},
        {"base_url": URL, "is_local": "yes"},
        {"base_url": URL, "api_key": "x"},
        {"base_url": URL, "no_such_field": 1},
    ],
    ids=lambda fields: re.sub(r"at 0x\w+|y{99,}", "…", str(fields)),
)
def test_a_bad_field_saves_nothing(registry, home, fields):
    with pytest.raises(InvalidProvider):
        registry.add("corp", **fields)
    assert registry.find("corp") is None
    assert not registry.file.path.exists()


def test_many_are_saved_together_or_not_at_all(registry):
    with pytest.raises(InvalidProvider):
        registry.add_many({"one": {"base_url": URL}, "two": {"base_url": "ftp://x"}})
    assert registry.find("one") is None


def test_update_changes_only_what_is_named(registry):
    registry.add("corp", base_url=URL, rpm=60, default_model="m")
    registry.update("corp", rpm=None, display_name="Corporate")
    provider = registry.require("corp")
    assert (provider.rpm, provider.default_model) == (None, "m")
    assert provider.display_name == "Corporate"
    with pytest.raises(InvalidProvider):
        registry.update("corp", base_url="https://169.254.169.254")
    assert registry.require("corp") == provider


def test_a_changed_url_changes_the_detected_type_but_not_a_chosen_one(registry):
    registry.add("corp", base_url=URL)
    assert registry.update("corp", base_url="https://x.example/anthropic").type == (
        "anthropic-compatible"
    )
    registry.add("chosen", base_url=URL, type="anthropic-compatible")
    assert registry.update("chosen", base_url="https://x.example/v1").type == "anthropic-compatible"


def test_a_changed_url_is_untested_and_has_no_claim_on_variables(registry):
    registry.add("corp", base_url=URL, tested_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert registry.require("corp").tested_at is not None
    moved = registry.update("corp", base_url="https://other.example/v1")
    assert moved.tested_at is None
    assert moved.key_origin != moved.origin
    confirmed = registry.update("corp", key_env=("CORP_KEY",))
    assert confirmed.key_origin == confirmed.origin


def test_a_preset_with_another_url_has_no_claim_on_its_variables(registry):
    registry.add("openai", base_url="https://proxy.example/v1")
    provider = registry.require("openai")
    assert provider.key_env[0] == "OPENAI_API_KEY"
    assert provider.key_origin == "https://api.openai.com:443" != provider.origin


def test_azure_needs_an_address_and_then_its_variables_are_meant_for_it(registry):
    with pytest.raises(InvalidProvider) as nowhere:
        registry.resolve("azure/gpt-5")
    assert "AZURE_OPENAI_ENDPOINT" in nowhere.value.hint
    registry.update("azure", base_url="https://mine.openai.azure.com")
    provider, _ = registry.resolve("azure/gpt-5")
    assert provider.base_url == "https://mine.openai.azure.com/openai/v1"
    assert provider.type == "azure"
    assert provider.key_origin == provider.origin
    moved = registry.update("azure", base_url="https://evil.example")
    assert moved.key_origin != moved.origin


def test_removal_is_soft_and_restore_brings_everything_back(registry):
    registry.add("corp", base_url=URL, default_model="m", rpm=5)
    registry.disable("corp")
    before = registry.require("corp")
    registry.remove("corp")
    assert "corp" not in [p.name for p in registry.list()]
    assert [p.name for p in registry.list(removed=True)] == ["corp"]
    for refused in (registry.require, registry.enable, registry.remove, registry.disable):
        with pytest.raises(ProviderNotFound):
            refused("corp")
    with pytest.raises(ProviderNotFound) as gone:
        registry.resolve("corp/m")
    assert "restore" in gone.value.hint
    after = registry.restore("corp")
    assert not after.is_active  # it was disabled, and it still is
    assert (after.default_model, after.rpm, after.created_at) == ("m", 5, before.created_at)
    with pytest.raises(InvalidProvider):
        registry.restore("corp")
    with pytest.raises(ProviderNotFound):
        registry.restore("never-there")


def test_a_preset_can_be_removed_and_restored(registry):
    registry.remove("groq")
    with pytest.raises(ProviderNotFound):
        registry.resolve("groq/x")
    registry.restore("groq")
    assert registry.resolve("groq/x")[0].name == "groq"


def test_a_disabled_provider_is_not_called(registry):
    registry.disable("openai")
    with pytest.raises(InvalidProvider) as disabled:
        registry.resolve("openai/x")
    assert disabled.value.cause == "disabled"
    registry.enable("openai")
    assert registry.resolve("openai/x")


def test_there_is_one_default(registry):
    assert registry.find_default() is None
    registry.set_default("openai")
    registry.set_default("groq")
    assert [p.name for p in registry.list() if p.is_default] == ["groq"]
    registry.remove("groq")
    assert registry.find_default() is None
    registry.restore("groq")
    registry.set_default(None)
    assert registry.find_default() is None
    with pytest.raises(ProviderNotFound):
        registry.set_default("nobody")


def test_the_list_is_filtered(registry):
    registry.add("corp", base_url=URL, display_name="Blue Team")
    names = [p.name for p in registry.list(place="local")]
    assert names == ["ollama", "lm-studio", "vllm", "llama-cpp", "local"]
    assert [p.name for p in registry.list(type="gemini")] == ["gemini"]
    assert [p.name for p in registry.list(search="blue")] == ["corp"]
    assert [p.name for p in registry.list(search="corp.example")] == ["corp"]
    assert [p.name for p in registry.list(active=True)] == ["local", "corp"]
    assert "corp" not in [p.name for p in registry.list(active=False)]


def test_a_key_in_the_environment_puts_a_preset_to_use(registry, monkeypatch):
    assert not registry.require("groq").is_active
    monkeypatch.setenv("GROQ_API_KEY", "x" * 30)
    groq = registry.require("groq")
    assert groq.is_active
    assert groq.source == "environment"


def test_the_environment_moves_a_preset_and_its_key_with_it(registry, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:4000/v1")
    provider = registry.require("openai")
    assert provider.base_url == "http://localhost:4000/v1"
    assert provider.is_local
    assert provider.key_origin == provider.origin
    registry.update("openai", default_model="m")
    assert registry.require("openai").base_url == "http://localhost:4000/v1"
    registry.update("openai", base_url="https://mine.example/v1")
    assert registry.require("openai").base_url == "https://mine.example/v1"


def test_a_bad_variable_hurts_only_its_own_provider(registry, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "https://169.254.169.254")
    assert len(registry.list()) == len(presets()) - 1
    assert set(registry.problems()) == {"openai"}
    assert registry.resolve("groq/x")
    with pytest.raises(InvalidProvider):
        registry.resolve("openai/x")


def test_named_providers_come_from_the_environment(registry, monkeypatch):
    monkeypatch.setenv("PROVIDER_MY_CORP_URL", URL)
    monkeypatch.setenv("PROVIDER_BAD_URL", "ftp://x")
    provider, _ = registry.resolve("my-corp/m")
    assert provider.base_url == URL
    assert provider.key_env == ("PROVIDER_MY_CORP_KEY",)
    assert provider.key_origin == provider.origin
    assert set(registry.problems()) == {"bad"}
    registry.update("my-corp", default_model="m")
    monkeypatch.delenv("PROVIDER_MY_CORP_URL")
    assert registry.require("my-corp").base_url == URL


def test_a_foreign_dotenv_cannot_lead_a_key_of_the_environment_away(
    registry, monkeypatch, tmp_path
):
    monkeypatch.setenv("PROVIDER_CORP_KEY", "x" * 30)
    (tmp_path / ".env").write_text("PROVIDER_CORP_URL=https://evil.example/v1\n")
    provider = registry.require("corp")
    assert provider.key_origin is None


def test_aliases_name_failover_chains(registry):
    registry.set_alias("fast", ["groq/llama", "local/smollm2-135m"])
    assert registry.find_alias("fast") == ("groq/llama", "local/smollm2-135m")
    assert registry.find_alias("slow") == ()
    with pytest.raises(ProviderNotFound):
        registry.set_alias("odd", ["nobody/x"])
    registry.set_alias("fast", [])
    assert registry.aliases() == {}


def test_a_hand_written_entry_is_read_and_a_bad_one_hurts_only_itself(registry, home):
    home.mkdir()
    registry.file.path.write_text(
        textwrap.dedent(f"""
        # mine
        [providers.hand]
        base_url = "{URL}"   # where it is
        future_field = 3

        [providers.bad]
        base_url = "https://user:hunter2@x.example"

        [providers.UPPER]
        base_url = "{URL}"
        """)
    )
    assert registry.resolve("hand/m")[0].key_origin == "https://llm.corp.example:443"
    assert set(registry.problems()) == {"bad", "UPPER"}
    registry.update("hand", rpm=5)
    text = registry.file.path.read_text()
    assert "# mine" in text and "# where it is" in text and "future_field = 3" in text
    assert "hunter2" not in str(registry.problems()["bad"])


def test_two_processes_that_add_at_once_lose_nothing(settings, home):
    """Three processes add ten providers each; all thirty are there, and the file is whole."""
    code = textwrap.dedent("""
        import sys
        from toolkit.providers.registry import Registry
        from toolkit.settings import Settings
        registry = Registry(Settings())
        for n in range(10):
            registry.add(f"p{sys.argv[1]}-{n}", base_url="https://x.example/v1")
    """)
    root = Path(__file__).resolve().parents[2]
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(n)], cwd=root, stderr=subprocess.PIPE)
        for n in range(3)
    ]
    for process in running:
        assert process.communicate(timeout=60)[1] == b""
        assert process.returncode == 0
    registry = Registry(settings)
    assert sum(p.source == "custom" for p in registry.list()) == 30
    assert registry.problems() == {}


@pytest.mark.parametrize(
    ("variable", "name", "kind"),
    [
        ("ANTHROPIC_BASE_URL", "anthropic", "anthropic"),
        ("OLLAMA_BASE_URL", "ollama", "ollama"),
        ("GEMINI_BASE_URL", "gemini", "gemini"),
        ("OPENAI_BASE_URL", "openai", "openai"),
        ("PROVIDER_WATSONX_URL", "watsonx", "watsonx"),
    ],
)
@pytest.mark.parametrize("place", ["environment", "dotenv"])
def test_a_preset_keeps_its_type_when_a_variable_moves_it(
    registry, monkeypatch, tmp_path, variable, name, kind, place
):
    if place == "environment":
        monkeypatch.setenv(variable, "http://localhost:7105")
    else:
        (tmp_path / ".env").write_text(f"{variable}=http://localhost:7105\n")
    provider = registry.require(name)
    assert (provider.type, provider.is_active) == (kind, True)
    assert provider.origin == "http://localhost:7105"
    if name == "ollama":
        assert provider.base_url == "http://localhost:7105/v1"


@pytest.mark.parametrize("name", ["anthropic", "gemini", "ollama", "openai", "bedrock"])
def test_a_preset_keeps_its_type_when_it_is_updated(registry, name):
    kind = registry.require(name).type
    moved = registry.update(name, base_url="http://127.0.0.1:7111", is_local=True)
    assert moved.type == kind
    assert Registry(registry.settings).require(name).type == kind


def test_a_custom_provider_keeps_its_detected_type_too(registry):
    registry.add("mine", base_url="https://generativelanguage.googleapis.com/v1beta")
    assert registry.update("mine", base_url="https://proxy.corp.example").type == "gemini"
    assert registry.require("mine").type == "gemini"
    registry.add("other", base_url="https://api.groq.com/openai/v1")
    assert registry.update("other", base_url="https://api.anthropic.com").type == "anthropic"


def test_settings_of_single_models_are_saved_and_merged(registry):
    registry.add(
        "mine",
        base_url="https://llm.corp.example/v1",
        params={"temperature": 0.2, "top_p": 1},
        model_settings={"big": {"params": {"temperature": 1}, "prompt_template": "Short: {text}"}},
    )
    provider = Registry(registry.settings).require("mine")
    assert provider.for_model("big").params == {"temperature": 1, "top_p": 1}
    assert provider.for_model("big").prompt_template == "Short: {text}"
    assert provider.for_model("other") is provider
    assert registry.update("mine", model_settings=None).model_settings == {}
