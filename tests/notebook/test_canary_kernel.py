"""A provider that echoes its key in every form: no output of a notebook's kernel has the key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.api.test_canary import CANARIES, KEY, echo, found_in, in_pieces
from tests.servers import Answer, MockProvider

pytestmark = [pytest.mark.timeout(300)]

VARIABLE = "CANARY_VALUE"
BEGIN = f"""
import logging, os, sys, traceback, warnings
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
for name in ("httpcore", "asyncio", "matplotlib"):  # they log no texts, but many lines
    logging.getLogger(name).setLevel(logging.WARNING)
import toolkit as tk
%load_ext toolkit
tk.providers.add("leaky", base_url=os.environ["BASE_URL"], local=True, max_retries=0,
                 key_env=["{VARIABLE}"], test=False)
"""
# What a call gives when it fails, in each way that a notebook shows an error.
ERRORS = {
    "plain": "tk.complete('leaky/m', 'Hello')",
    "whole": "%tb",
    "verbose": "%xmode Verbose\ntk.complete('leaky/m', 'Hello')",
    "verbose, whole": "%tb",
    "key as argument": f"tk.complete('leaky/m', 'Hello', api_key=os.environ['{VARIABLE}'])",
    "key as argument, whole": "%tb",
    "stream": "list(tk.stream('leaky/m', 'Hello'))",
    "await": "await tk.acomplete('leaky/m', 'Hello')",
    "printed": "try:\n    tk.complete('leaky/m', 'Hello')\nexcept Exception as error:\n"
    "    traceback.print_exc(); print(error, repr(error), vars(error)); display(error)",
    "logged": "try:\n    tk.complete('leaky/m', 'Hello')\nexcept Exception:\n"
    "    logging.getLogger('mine').exception('it failed')",
    "rich": "from rich.traceback import install\nfrom rich.console import Console\n"
    "_ = install(show_locals=True, console=Console(width=200))\ntk.complete('leaky/m', 'Hello')",
    "rich, key as argument": f"tk.complete('leaky/m', 'Hi', api_key=os.environ['{VARIABLE}'])",
    "rich, stream": f"list(tk.stream('leaky/m', 'Hi', api_key=os.environ['{VARIABLE}']))",
}
# What is shown of objects, and what runs show while they run.
SHOWN = (
    "reply = tk.complete('leaky/m', 'Hello')\nreply",
    "display(reply, [reply.usage, reply.timing])",
    "stream = tk.stream('leaky/m', 'Hello')\nfor piece in stream: pass\nstream",
    "stream.reply",
    "tk.providers.find('leaky')",
    "display(tk.providers, tk.providers.list())",
    "tk.calls()",
    "tk.calls().to_dict()",
    "%sql SELECT * FROM calls",
    "%%prompt -m leaky/m\nHello",
    "%%prompt -m leaky/m -m leaky/n board\nHello\n",
    "board",
    "tk.compare('Hello', ['leaky/m', 'leaky/n'])",
    "rows = [{'input': f'q{n}', 'target': 'x'} for n in range(3)]\n"
    "run = tk.evaluate(tk.Dataset.from_rows(rows), 'leaky/m', scorers=['contains'])\nrun",
    "print(run)",
    "warnings.warn(repr(tk.providers.find('leaky')))",
)


@pytest.fixture(scope="module")
def leaky() -> Iterator[MockProvider]:
    with MockProvider() as provider:
        yield provider


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, leaky: MockProvider
) -> Iterator[NotebookClient]:
    folder = tmp_path_factory.mktemp("kernel")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("TOOLKIT_HOME", str(folder / "home")),
            ("IPYTHONDIR", str(folder / "ipython")),
            ("BASE_URL", leaky.base_url),
            (VARIABLE, KEY),
        ):
            patch.setenv(name, value)
        client = NotebookClient(
            nbformat.v4.new_notebook(),
            timeout=120,
            kernel_name="python3",
            allow_errors=True,
            resources={"metadata": {"path": folder}},
        )
        with client.setup_kernel():
            assert not [o for o in ran(client, BEGIN) if o["output_type"] == "error"]
            yield client


def ran(client: NotebookClient, source: str) -> list[dict[str, Any]]:
    """The outputs of a cell."""
    cell = nbformat.v4.new_code_cell(source)
    client.nb.cells.append(cell)
    client.execute_cell(cell, len(client.nb.cells) - 1)
    return [dict(output) for output in cell.outputs]


def leaks_in(client: NotebookClient, cells: dict[str, str]) -> dict[str, list[str]]:
    """Run cells; the forms of the key in the outputs of each, text and JSON read apart.

    Each cell has a model of its own: the circuit breaker of one that failed three times is open.
    """
    leaks, shown = {}, 0
    for number, (name, source) in enumerate(cells.items()):
        outputs = ran(client, source.replace("leaky/m", f"leaky/m{number}"))
        shown += bool(outputs)
        texts = "\n".join(_texts(outputs))
        if forms := found_in((texts + json.dumps(outputs, default=str)).encode()):
            leaks[name] = forms
    assert shown >= len(cells) - 1, "the outputs are there"
    return leaks


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


@pytest.mark.parametrize("place", ["401", "400", "not JSON"])
def test_no_error_in_a_notebook_shows_a_key(
    client: NotebookClient, leaky: MockProvider, place: str
) -> None:
    leaky.forget()
    leaky.default = Answer(**echo(place))
    assert leaks_in(client, ERRORS) == {}
    ran(client, "%xmode Context")


@pytest.mark.parametrize("kind", ["whole", "in pieces"])
def test_no_object_and_no_progress_in_a_notebook_shows_a_key(
    client: NotebookClient, leaky: MockProvider, kind: str
) -> None:
    leaky.forget()
    everything = " | ".join(CANARIES.values())
    whole = Answer(text=everything, reasoning=everything, headers={"x-request-id": KEY})
    leaky.default = whole if kind == "whole" else in_pieces(7)
    assert leaks_in(client, {cell: cell for cell in SHOWN}) == {}
    assert found_in(json.dumps(client.widget_state, default=str).encode()) == []
    assert found_in(nbformat.writes(client.nb).encode()) == []
