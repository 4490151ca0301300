"""`toolkit providers` from the shell: every command, its JSON, its exit codes, its bad input."""

from __future__ import annotations

import json

import keyring
import pytest

from tests.cli.shell import run, run_json
from tests.servers import Answer, MockProvider
from toolkit.keys import os_keyring

KEY = "sk-" + "c" * 40


@pytest.fixture(autouse=True)
def trusted_keyring(home, monkeypatch):
    monkeypatch.setattr(os_keyring, "_trusted", {type(keyring.get_keyring())})


@pytest.fixture
def server():
    with MockProvider(Answer(text="works")) as mock:
        yield mock


def add(server, *more: str):
    done = run("providers", "add", "mock", "--url", server.base_url, "--local", *more)
    assert done.returncode == 0, done.stderr
    return done


def test_all_presets_are_listed():
    rows = run_json("providers", "presets")
    assert len(rows) >= 34
    assert {"name", "display_name", "type", "base_url", "key_env", "key_url", "is_local"} <= set(
        rows[0]
    )
    assert "OPENROUTER_API_KEY" in run("providers", "presets").stdout


def test_the_life_of_a_provider(server):
    """add, test, call, update, disable, enable, remove, restore: from the shell alone."""
    done = add(server, "--default-model", "mock-model", "--header", "X-Team=blue")
    assert "address allowed" in done.stdout
    assert "tested" in done.stderr
    assert run("providers", "test", "mock", "--call").returncode == 0
    assert run("chat", "hello", "-m", "mock/mock-model").stdout.strip().startswith("works")
    run_json("providers", "update", "mock", "--rpm", "60", "--param", "temperature=0.5")
    shown = run_json("providers", "show", "mock")
    assert (shown["rpm"], shown["params"]) == (60, {"temperature": 0.5})
    assert shown["headers"] == {"X-Team": "blue"}
    assert run("providers", "disable", "mock").returncode == 0
    assert run("chat", "hello", "-m", "mock/mock-model").returncode == 1
    assert run("providers", "enable", "mock").returncode == 0
    assert run("providers", "remove", "mock").returncode == 0
    assert "mock" not in {row["name"] for row in run_json("providers", "list")}
    assert [row["name"] for row in run_json("providers", "list", "--removed")] == ["mock"]
    assert run_json("providers", "restore", "mock")["rpm"] == 60
    assert run_json("providers", "default", "mock") == {"default": "mock"}
    assert run_json("providers", "default", "--none") == {"default": None}


def test_the_list_is_filtered(server):
    add(server)
    names = {row["name"] for row in run_json("providers", "list", "--local")}
    assert {"mock", "ollama", "local"} <= names
    assert "openai" not in names
    assert [r["name"] for r in run_json("providers", "list", "--search", "gemini")] == ["gemini"]
    assert run("providers", "list", "--local", "--cloud").returncode == 2


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("add", "Bad Name", "--url", "https://x.example"), "PROVIDER_INVALID"),
        (("add", "x", "--url", "https://user:pw@x.example"), "PROVIDER_INVALID"),
        (("add", "x", "--url", "http://127.0.0.1:1023/v1"), "PROVIDER_INVALID"),
        (("add", "x", "--url", "http://127.0.0.1:1023/v1", "--local"), "REQUEST_FAILED"),
        (("add", "x", "--url", "https://x.example", "--type", "odd"), "PROVIDER_INVALID"),
        (("add", "x", "--url", "https://x.example", "--header", "Host=y"), "PROVIDER_INVALID"),
        (("add", "x"), "PROVIDER_INVALID"),
        (("show", "nobody"), "PROVIDER_NOT_FOUND"),
        (("remove", "nobody"), "PROVIDER_NOT_FOUND"),
        (("restore", "nobody"), "PROVIDER_NOT_FOUND"),
        (("test", "nobody"), "PROVIDER_NOT_FOUND"),
        (("update", "nobody", "--rpm", "1"), "PROVIDER_NOT_FOUND"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_what_cannot_be_done_is_told_with_its_code(args, code):
    done = run("providers", *args, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == code
    assert "Traceback" not in done.stdout + done.stderr
    assert "x" not in {row["name"] for row in run_json("providers", "list")}


@pytest.mark.parametrize(
    "args",
    [
        ("add", "x", "--url", "https://x.example", "--header", "no-sign"),
        ("restore",),
        ("import", "/no"),
    ],
)
def test_wrong_usage_ends_with_two(args):
    assert run("providers", *args).returncode == 2


def test_a_duplicate_name_is_told(server):
    add(server)
    done = run("providers", "add", "mock", "--url", server.base_url, "--local", "--json")
    assert json.loads(done.stdout)["error"]["code"] == "PROVIDER_EXISTS"


def test_a_failed_test_saves_nothing_unless_told(server):
    server.enqueue(status=401, times=4)
    done = run("providers", "add", "mock", "--url", server.base_url, "--local")
    assert done.returncode == 1
    assert "--no-test" in done.stderr
    assert run_json("providers", "list", "--search", "mock") == []
    add(server, "--no-test")
    assert run_json("providers", "show", "mock")["tested_at"] is None
    assert run("providers", "test", "mock").returncode == 1


def test_a_key_is_read_from_standard_input_and_never_shown(server):
    done = run(
        *("providers", "add", "mock", "--url", server.base_url, "--local", "--key"),
        stdin=f"{KEY}\n",
    )
    assert done.returncode == 0, done.stderr
    shown = run("providers", "show", "mock")
    for text in (done.stdout, done.stderr, shown.stdout):
        assert KEY not in text
    assert run("chat", "hello", "-m", "mock/m").returncode == 0
    assert server.requests[-1].headers["authorization"] == f"Bearer {KEY}"


def test_a_secret_header_is_asked_for(server):
    done = run(
        *("providers", "add", "mock", "--url", server.base_url, "--local"),
        *("--header", "X-Auth-Token=-"),
        stdin="t0p-secret",
    )
    assert done.returncode == 0, done.stderr
    assert run_json("providers", "show", "mock")["headers"] == {"X-Auth-Token": "…"}
    run("providers", "test", "mock")
    assert server.requests[-1].headers["x-auth-token"] == "t0p-secret"


def test_export_and_import(server, tmp_path, home):
    add(server)
    file = tmp_path / "providers.json"
    assert run("providers", "export", "mock", "-o", str(file)).returncode == 0
    assert json.loads(file.read_text())["providers"].keys() == {"mock"}
    assert 'format = "toolkit-providers"' in run("providers", "export", "--toml").stdout
    text = file.read_text().replace('"mock":', '"copy":')
    file.write_text(text)
    preview = run_json("providers", "import", str(file), "--dry-run")
    assert [row["action"] for row in preview["providers"]] == ["add"]
    assert run("providers", "show", "copy").returncode == 1
    assert run_json("providers", "import", str(file))["saved"]
    assert run_json("providers", "show", "copy")["base_url"] == server.base_url
    file.write_text(text[:50])
    assert run("providers", "import", str(file)).returncode == 2


def test_export_with_keys_is_sealed_and_comes_back(server, tmp_path):
    add(server)
    assert run("keys", "set", "mock", stdin=KEY).returncode == 0
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    passphrase.chmod(0o600)
    file = tmp_path / "sealed.json"
    more = ("--passphrase-file", str(passphrase))
    done = run("providers", "export", "--with-keys", "-o", str(file), *more)
    assert done.returncode == 0, done.stderr
    assert KEY not in file.read_text()
    assert run("keys", "remove", "mock").returncode == 0
    assert run_json("providers", "import", str(file), *more)["keys"] == 1
    assert run_json("keys", "list", "mock")[0]["in_force"]


def test_discover_prints_what_it_found(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "g" * 30)
    rows = {row["name"]: row for row in run_json("providers", "discover")}
    assert rows["groq"]["outcome"] == "known"


def test_a_broken_registry_is_told_and_can_be_taken_back(server, home):
    add(server)
    path = home / "providers.toml"
    good = path.read_bytes()
    path.write_bytes(good + b"\n[broken")
    done = run("providers", "list")
    assert done.returncode == 1
    assert "line" in done.stderr and "--last-good" in done.stderr
    assert path.read_bytes() == good + b"\n[broken"
    assert run("providers", "restore", "--last-good").returncode == 0
    assert path.read_bytes() == good


@pytest.mark.local_model
def test_the_life_of_a_provider_on_a_real_llama_cpp_server(local_server):
    done = run("providers", "add", "llama", "--url", local_server.base_url, "--local")
    assert done.returncode == 0, done.stderr
    model = f"llama/{local_server.model}"
    tested = run_json("providers", "test", "llama", "--call", "--model", local_server.model)
    assert [check["answer"] for check in tested["checks"]] == ["works"] * 4
    assert local_server.model in tested["models"]
    assert run("models", "sync", "llama").returncode == 0
    assert run("chat", "Say hello", "-m", model, "--param", "max_tokens=8").returncode == 0
    assert run("providers", "disable", "llama").returncode == 0
    assert run("chat", "Say hello", "-m", model).returncode == 1
    assert run("providers", "remove", "llama").returncode == 0
    assert run("providers", "restore", "llama").returncode == 0
    assert run("providers", "enable", "llama").returncode == 0
    assert run("chat", "Say hello", "-m", model, "--param", "max_tokens=8").returncode == 0
