"""Parts of installed packages: request parsers of the gateway, and processors of every call."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.servers import MockProvider

ROOT = Path(__file__).resolve().parents[2]
# What happens in a process of its own, because entry points are those of its path.
SCRIPT = """
import asyncio, json, sys
sys.path.insert(0, sys.argv[1])
import httpx
from toolkit.api.http_app import build_app
from toolkit.api.bearer_tokens import BearerTokens
from toolkit.errors import ToolkitError
from toolkit.toolkit import current

toolkit_ = current()
toolkit_.settings.make_home()
toolkit_.providers.registry.add(
    "mock", base_url=sys.argv[2], is_local=True, needs_key=False, default_model="m"
)
token = BearerTokens(toolkit_.settings.token_path).create("t", models=("mock/m",)).reveal()

async def go(bodies):
    app = build_app(toolkit_)
    headers = {"authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answers = [await client.post(p, json=b, headers=headers) for p, b in bodies]
    await toolkit_.client.aclose()
    return [[a.status_code, a.json()] for a in answers]

try:
    print(json.dumps(asyncio.run(go(json.loads(sys.argv[3])))))
except ToolkitError as error:
    print(json.dumps([error.message, error.hint]))
toolkit_.close()
"""


@pytest.fixture
def provider():
    with MockProvider() as server:
        yield server


@pytest.fixture
def installed(tmp_path):
    """The package of docs/api.md, laid out as an installer would."""
    site = tmp_path / "site"
    info = site / "acme_parts-1.0.dist-info"
    info.mkdir(parents=True)
    blocks = (ROOT / "docs" / "api.md").read_text("utf-8").split("```python\n")
    module = next(b.split("```")[0] for b in blocks if b.startswith("# acme_parts.py"))
    (site / "acme_parts.py").write_text(module)
    (site / "wrecked_parts.py").write_text("raise RuntimeError('sk-' + 'w' * 30)\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme_parts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        textwrap.dedent("""\
        [toolkit.processors]
        calm = acme_parts:Calm
        wrecked = wrecked_parts:Anything
        [toolkit.request_parsers]
        plain = acme_parts:Plain
        greedy = acme_parts:Greedy
        """)
    )
    with (site / "acme_parts.py").open("a") as file:
        file.write('\n\nclass Greedy(Plain):\n    path = "/v1/models"\n')
    return site


def run(installed, provider, home, settings, bodies=()):
    home.mkdir(exist_ok=True)
    (home / "settings.toml").write_text(settings)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(installed), provider.base_url, json.dumps(bodies)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_parser_and_the_processor_of_the_documentation_work_when_named(
    installed, provider, home
):
    provider.enqueue(text="Salt water")
    settings = 'request_parsers = ["plain"]\nprocessors = ["calm"]\n'
    bodies = [
        ("/v1/plain", {"model": "mock/m", "question": "What is the sea?"}),
        ("/v1/plain", {"model": "mock/m"}),
        ("/v1/plain", {"model": "mock/other", "question": "hi"}),
        ("/v1/plain", {"model": "mock/m", "question": "hi", "more": {"api_base": "http://evil"}}),
    ]
    good, missing, forbidden, machinery = run(installed, provider, home, settings, bodies)
    assert good == [200, {"answer": "Salt water"}]
    asked = provider.requests[0].json
    assert asked["messages"] == [{"role": "user", "content": "What is the sea?"}]
    assert asked["temperature"] == 0
    assert missing[0] == 400
    assert "KeyError" in missing[1]["error"]["message"]
    assert forbidden[0] == 403
    assert machinery[0] == 422
    assert machinery[1]["error"]["param"] == "api_base"
    assert len(provider.requests) == 1


def test_what_is_installed_and_not_named_does_nothing(installed, provider, home):
    body = {"model": "mock/m", "messages": [{"role": "user", "content": "hi"}]}
    bodies = [("/v1/plain", {"model": "mock/m", "question": "hi"}), ("/v1/chat/completions", body)]
    absent, good = run(installed, provider, home, "", bodies)
    assert (absent[0], good[0]) == (404, 200)
    assert "temperature" not in provider.requests[0].json


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ('request_parsers = ["nobody"]', "no installed package provides 'nobody'"),
        ('request_parsers = ["greedy"]', "no path of its own"),
    ],
)
def test_a_part_that_cannot_work_is_named(installed, provider, home, settings, why):
    message, hint = run(installed, provider, home, settings)
    assert why in message
    assert hint


def test_a_processor_that_does_not_load_tells_no_more_than_its_name(installed, provider, home):
    body = {"model": "mock/m", "messages": [{"role": "user", "content": "hi"}]}
    bodies = [("/v1/chat/completions", body)]
    message, hint = run(installed, provider, home, 'processors = ["wrecked"]', bodies)
    assert "'wrecked' of the setting `processors`" in message
    assert "RuntimeError" in message
    assert "www" not in message + hint
    assert provider.requests == []
