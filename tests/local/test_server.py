"""The real llama.cpp server: one per home, found by all, gone when it is stopped or idle."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from toolkit.errors import LocalModelError
from toolkit.files import FileLock, is_locked
from toolkit.local.local_server import LocalServer, find_base_url
from toolkit.local.model_files import BUILTIN_NAME
from toolkit.local.server_state import (
    RunningServer,
    find_running,
    lock_path,
    log_path,
    state_path,
    write_state,
)
from toolkit.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(home: Path) -> Settings:
    made = Settings(home=home)
    made.make_home()
    return made


def _state(pid: int, port: int = 9) -> RunningServer:
    return RunningServer(
        pid=pid,
        started_at=datetime.now(UTC),
        host="127.0.0.1",
        port=port,
        model=BUILTIN_NAME,
        path="x.gguf",
        slots=4,
        context_tokens=2048,
        threads=2,
    )


def _ask(running: RunningServer, body: dict[str, object]) -> dict[str, object]:
    connection = http.client.HTTPConnection(running.host, running.port, timeout=60)
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    answer: dict[str, object] = json.loads(connection.getresponse().read())
    connection.close()
    return answer


@pytest.mark.local_model
def test_the_server_answers_a_question_and_counts_its_tokens(local_server):
    messages = [{"role": "user", "content": "Say hello."}]
    answer = _ask(local_server, {"messages": messages, "max_tokens": 8})
    assert answer["model"] == BUILTIN_NAME
    assert 1 <= answer["usage"]["completion_tokens"] <= 8
    assert answer["choices"][0]["message"]["content"]


@pytest.mark.local_model
def test_a_foreign_web_page_may_not_read_its_answers(local_server):
    connection = http.client.HTTPConnection(local_server.host, local_server.port, timeout=10)
    connection.request("GET", "/v1/models", headers={"Origin": "https://elsewhere.example"})
    allowed = connection.getresponse().headers["Access-Control-Allow-Origin"]
    connection.close()
    assert allowed not in ("*", "https://elsewhere.example")


@pytest.mark.local_model
def test_its_whole_life(settings):
    """Two starters at once get one server; another process finds it; stop ends it for all."""
    servers = [LocalServer(settings), LocalServer(settings)]
    told: list[str] = []
    found: list[RunningServer] = []
    threads = [
        threading.Thread(target=lambda s=s: found.append(s.start(progress=told.append)))
        for s in servers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert len(found) == 2
        assert found[0] == found[1]
        assert sum(server.was_started_here for server in servers) == 1
        assert any("MB" in text for text in told)
        other = subprocess.run(
            [sys.executable, "-m", "toolkit", "local", "start", "--json"],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        assert json.loads(other.stdout)["pid"] == found[0].pid
        with pytest.raises(LocalModelError, match="runs 'smollm2-135m', not 'other'"):
            servers[0].start("other")
        assert find_base_url(settings) == found[0].base_url
        assert not servers[0].is_busy()
    finally:
        assert LocalServer(settings).stop()
    assert not is_locked(lock_path(settings))
    assert find_base_url(settings) is None
    assert not LocalServer(settings).stop()


@pytest.mark.local_model
def test_an_idle_server_ends_by_itself(settings):
    server = LocalServer(settings)
    server.start(idle_timeout_s=1.0)
    assert server._child is not None
    assert server._child.wait(30) == 0
    assert server.status() is None
    assert not state_path(settings).exists()


def test_a_state_left_by_a_dead_server_is_not_believed_even_if_its_process_id_lives(settings):
    write_state(state_path(settings), _state(pid=os.getpid()))
    lock_path(settings).touch()
    assert find_running(settings) is None
    assert not LocalServer(settings).stop(), "it would have ended this very process"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"started_at": 5}'])
def test_a_damaged_state_is_no_server(settings, text):
    state_path(settings).write_text(text)
    kept = FileLock(lock_path(settings))
    assert kept.acquire()
    assert find_running(settings) is None
    kept.release()


def test_the_state_is_read_back_as_written_and_private(settings):
    running = _state(pid=os.getpid(), port=1234)
    write_state(state_path(settings), running)
    kept = FileLock(lock_path(settings))
    assert kept.acquire()
    assert find_running(settings) == running
    assert running.base_url == "http://127.0.0.1:1234/v1"
    if os.name == "posix":
        assert state_path(settings).stat().st_mode & 0o777 == 0o600
    kept.release()


@pytest.mark.local_model
def test_a_model_that_cannot_be_loaded_is_told_with_the_servers_last_words(settings):
    settings.models_path.mkdir()
    (settings.models_path / "broken.gguf").write_bytes(b"GGUF" + b"\xff" * 64)
    with pytest.raises(LocalModelError) as told:
        LocalServer(settings).start("broken")
    assert "did not start" in told.value.message
    assert str(log_path(settings)) in told.value.hint
    assert not is_locked(lock_path(settings))


def test_without_the_package_the_hint_says_what_to_install(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(LocalModelError) as told:
        LocalServer(settings).start()
    assert "pip install" in told.value.hint
