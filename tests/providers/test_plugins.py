"""Plugins: what is one, what is none, and one that is really installed as a package."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr

import toolkit as tk
from toolkit.errors import (
    AuthenticationFailed,
    InvalidProvider,
    ModelNotFound,
    RetriesExhausted,
    ServerError,
    StreamInterrupted,
    ToolkitError,
)
from toolkit.providers.plugins import Piece, PluginRequest, make_plugin
from toolkit.secret import Secret

ROOT = Path(__file__).resolve().parents[2]


class Plain:
    name = "plain"

    def complete(self, request: PluginRequest) -> str:
        return f"{request.model}: {request.messages[-1]['content']} {request.params['temperature']}"


class WithSettings:
    name = "configured"

    class Settings(BaseModel):
        greeting: str
        token: SecretStr = SecretStr("")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def acomplete(self, request: PluginRequest) -> Piece:
        return Piece(
            text=self.settings.greeting, usage={"prompt_tokens": 1, "completion_tokens": 2}
        )


def test_a_synchronous_answer():
    tk.providers.register(Plain)
    assert tk.complete("plain/m", "hello", temperature=0.5).text == "m: hello 0.5"


def test_settings_are_validated_and_no_value_is_repeated():
    tk.providers.register(WithSettings, settings={"greeting": "hi"})
    assert tk.complete("configured/m", "hello").text == "hi"
    token = "sk-" + "p" * 30
    with pytest.raises(InvalidProvider) as wrong:
        make_plugin(WithSettings, settings={"token": token})
    assert "greeting" in wrong.value.message
    assert token not in str(wrong.value)
    with pytest.raises(InvalidProvider):
        make_plugin(Plain, settings={"x": 1})


def test_settings_stand_in_the_registrys_file(home):
    home.mkdir()
    (home / "providers.toml").write_text('[plugins.configured]\ngreeting = "from the file"\n')
    tk.providers.register(WithSettings)
    assert tk.complete("configured/m", "hello").text == "from the file"


class Nameless:
    def complete(self, request):
        return ""


class Silent:
    name = "silent"


class Broken:
    name = "broken"

    def __init__(self):
        raise RuntimeError("no")

    def complete(self, request):
        return ""


@pytest.mark.parametrize("kind", [Nameless, Silent, Broken])
def test_what_is_no_plugin(kind):
    with pytest.raises(InvalidProvider):
        make_plugin(kind)


def raising(error: Exception):
    class Raising:
        name = "raising"

        def complete(self, request):
            raise error

    return Raising


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AuthenticationFailed("bad key"), AuthenticationFailed),
        (ModelNotFound("no such model"), ModelNotFound),
        (ServerError("busy"), (ServerError, RetriesExhausted)),
        (ZeroDivisionError("sk-" + "z" * 30), (ServerError, RetriesExhausted)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_plugin_raises_is_classified_like_any_answer(error, kind):
    tk.providers.register(raising(error))
    with pytest.raises(kind) as raised:
        tk.complete("raising/m", "hello")
    assert "zzzz" not in str(raised.value)
    assert set(tk.calls(provider="raising")["status"]) == {"error"}


def test_an_answer_of_the_wrong_type_is_the_plugins_fault():
    class Odd:
        name = "odd"

        def complete(self, request):
            return 42

    tk.providers.register(Odd)
    with pytest.raises((ServerError, RetriesExhausted)) as failed:
        tk.complete("odd/m", "hello")
    assert "TypeError" in str(failed.value) + str(failed.value.provider_message)


def test_a_stream_that_breaks_keeps_its_beginning():
    class Breaking:
        name = "breaking"

        async def astream(self, request):
            yield "half "
            raise RuntimeError("gone")

    tk.providers.register(Breaking)
    got = []
    with pytest.raises(ToolkitError) as broken, tk.stream("breaking/m", "hello") as stream:
        got.extend(stream)
    assert got == ["half "]
    assert broken.value.partial_text == "half "
    assert isinstance(broken.value, ServerError | StreamInterrupted)


def test_reasoning_and_tools_pass_through():
    class Thinking:
        name = "thinking"

        def complete(self, request):
            call = {
                "id": "c1",
                "type": "function",
                "function": {"name": "add", "arguments": '{"a": 1}'},
            }
            return Piece(reasoning="hm", tool_calls=[call])

    tk.providers.register(Thinking)
    reply = tk.complete("thinking/m", "hello")
    assert reply.reasoning == "hm"
    assert (reply.tool_calls[0].name, reply.finish_reason) == ("add", "tool_calls")


def test_a_plugin_gets_its_own_key_and_the_port_is_closed_to_others(monkeypatch):
    import httpx

    class Keyed:
        name = "keyed"
        base_url = "https://api.keyed.example/v1"
        key_env = ("KEYED_API_KEY",)
        needs_key = True

        def complete(self, request):
            assert isinstance(request.key, Secret)
            return request.key.reveal()[:4]

    tk.providers.register(Keyed)
    with pytest.raises(AuthenticationFailed):
        tk.complete("keyed/m", "hello")
    monkeypatch.setenv("KEYED_API_KEY", "abcd" + "x" * 30)
    assert tk.complete("keyed/m", "hello").text == "abcd"
    url = tk.providers.registry.resolve("keyed/m")[0].base_url
    assert url.startswith("http://127.0.0.1:")
    refused = httpx.post(f"{url}/chat/completions", json={"model": "m", "messages": []})
    assert refused.status_code == 401


def test_a_plugin_may_only_supply_token_and_address():
    from tests.servers import Answer, MockProvider

    with MockProvider(Answer(text="from the server")) as server:

        class Corporate:
            name = "corporate"
            is_local = True

            def url(self):
                return server.base_url

            def token(self):
                return "short-lived-" + "t" * 20

        tk.providers.register(Corporate)
        assert tk.complete("corporate/m", "hello").text == "from the server"
        sent = server.requests[-1].headers["authorization"]
        assert sent == "Bearer short-lived-" + "t" * 20


def test_litellms_custom_llm_can_be_used():
    from litellm import CustomLLM, ModelResponse

    class Custom(CustomLLM):
        async def acompletion(self, *args, **kwargs) -> ModelResponse:
            response = kwargs["model_response"]
            response.choices[0].message.content = kwargs["messages"][-1]["content"][::-1]
            return response

        async def astreaming(self, *args, **kwargs):
            yield {
                "text": "abc",
                "is_finished": True,
                "finish_reason": "stop",
                "index": 0,
                "tool_use": None,
                "usage": None,
            }

    tk.providers.register(Custom(), name="reversed")
    reply = tk.complete("reversed/m", "hello")
    assert reply.text == "olleh"
    assert reply.usage.output_tokens is None
    with tk.stream("reversed/m", "hello") as stream:
        assert list(stream) == ["abc"]


@pytest.fixture
def installed(tmp_path):
    """The package of docs/plugins.md and a broken one, laid out as an installer would."""
    site = tmp_path / "site"
    blocks = (ROOT / "docs" / "plugins.md").read_text("utf-8").split("```python\n")
    module = next(b.split("```")[0] for b in blocks if b.startswith("# acme_toolkit.py"))
    for name, source, entry in (
        ("acme_toolkit", module, "acme = acme_toolkit:Acme"),
        ("wrecked", "raise RuntimeError('sk-' + 'w' * 30)", "wrecked = wrecked:Anything"),
    ):
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{name}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[toolkit.providers]\n{entry}\n")
    return site


def test_the_plugin_of_the_documentation_works_when_it_is_installed(installed, home):
    home.mkdir()
    (home / "providers.toml").write_text('[plugins.acme]\nsuffix = "!"\n')
    code = textwrap.dedent("""
        import json, sys
        sys.path.insert(0, sys.argv[1])
        import toolkit as tk
        listed = {p.name: p.source for p in tk.providers.list()}
        assert "acme_toolkit" not in sys.modules, "imported before it was called"
        reply = tk.complete("acme/echo", "hello there")
        with tk.stream("acme/echo", "hello there") as stream:
            pieces = list(stream)
        try:
            tk.complete("wrecked/m", "hello")
        except tk.errors.InvalidProvider as error:
            wrecked = str(error)
        print(json.dumps([listed, reply.text, pieces, reply.usage.output_tokens, wrecked]))
    """)
    done = subprocess.run(
        [sys.executable, "-c", code, str(installed)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    listed, text, pieces, tokens, wrecked = json.loads(done.stdout)
    assert listed["acme"] == listed["wrecked"] == "plugin"
    assert text == "hello there!"
    assert pieces == ["hello ", "there", "!"]
    assert tokens == 2
    assert "RuntimeError" in wrecked and "sk-" not in wrecked
