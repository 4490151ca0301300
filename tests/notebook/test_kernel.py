"""A real kernel: errors without our frames, interrupts that stop the provider, the magics."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import nbformat
import pytest
from nbclient import NotebookClient

from tests.servers import MockProvider

pytestmark = [pytest.mark.timeout(300)]

SLOW = {"chunks": ["word "] * 3000, "chunk_delay_s": 0.05}


class Kernel:
    """Runs cells in one kernel and interrupts them."""

    def __init__(self, client: NotebookClient) -> None:
        self.client = client

    def run(self, source: str) -> list[nbformat.NotebookNode]:
        """The outputs of a cell."""
        cell = nbformat.v4.new_code_cell(source)
        self.client.nb.cells.append(cell)
        self.client.execute_cell(cell, len(self.client.nb.cells) - 1)
        return cell.outputs

    def interrupt(self) -> None:
        """What the stop button does."""
        self.client.km.provisioner.process.send_signal(2)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("kernel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLKIT_HOME", str(folder / "home"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        client = NotebookClient(
            nbformat.v4.new_notebook(),
            timeout=120,
            kernel_name="python3",
            allow_errors=True,
            resources={"metadata": {"path": folder}},
        )
        with client.setup_kernel():
            yield Kernel(client)


@pytest.fixture
def server(kernel: Kernel) -> Iterator[MockProvider]:
    with MockProvider() as server:
        assert not _errors(
            kernel.run(
                "import toolkit as tk\n"
                "if tk.providers.find('mock') is None:\n"
                f"    tk.providers.add('mock', base_url={server.base_url!r}, local=True,"
                " test=False)\n"
                "else:\n"
                f"    tk.providers.update('mock', base_url={server.base_url!r}, test=False)\n"
            )
        )
        yield server


def _errors(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    return [output for output in outputs if output.output_type == "error"]


def _data(outputs: list[nbformat.NotebookNode], kind: str) -> str:
    return "".join(output.data.get(kind, "") for output in outputs if "data" in output)


def _wait_until(check: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not check():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.02)


def test_an_error_shows_its_message_and_the_line_of_the_cell(
    kernel: Kernel, server: MockProvider
) -> None:
    (error,) = _errors(kernel.run("def ask():\n    return tk.complete('nowhere/x', 'Hi')\n\nask()"))
    shown = "\n".join(error.traceback)
    assert "there is no provider" in shown and "toolkit providers list" in shown
    assert "return tk.complete('nowhere/x', 'Hi')" in shown, "the user's own line"
    assert "toolkit/calls" not in shown and len(shown.splitlines()) <= 10
    (whole,) = kernel.run("%tb")[-1:]
    assert "toolkit.py" in str(whole), "the whole traceback is there on request"


@pytest.mark.parametrize(
    "cell",
    [
        "answer = tk.stream('mock/a', 'Hi')\nfor piece in answer:\n    pass",
        "import time\nanswer = tk.stream('mock/a', 'Hi')\nfor piece in answer:\n    time.sleep(60)",
        "tk.complete('mock/a', 'Hi')",
        "tk.compare('Hi', ['mock/a', 'mock/b'])",
        "answer = tk.astream('mock/a', 'Hi')\nasync for piece in answer:\n    pass",
    ],
    ids=["stream", "outside of our code", "complete", "compare", "await"],
)
def test_interrupting_a_cell_stops_the_provider(
    kernel: Kernel, server: MockProvider, cell: str
) -> None:
    is_whole = cell.startswith("tk.complete")
    server.enqueue(**({"first_delay_s": 60.0} if is_whole else SLOW), times=2)

    def interrupt() -> None:
        _wait_until(lambda: len(server.requests) > 0 and (is_whole or len(server.stamps) > 2))
        kernel.interrupt()

    stopping = threading.Thread(target=interrupt)
    stopping.start()
    outputs = kernel.run(cell)
    stopping.join()
    assert _errors(outputs), "the cell was interrupted"
    if not is_whole:  # the server sees a client go when it writes
        _wait_until(lambda: all(request.closed_early for request in server.requests))
    recorded = kernel.run("print(tk.calls().status.iloc[0])")
    assert "cancelled" in str(recorded)


def test_the_magics_send_prompts_and_run_sql(kernel: Kernel, server: MockProvider) -> None:
    server.enqueue("<b>one</b> two", times=3)
    assert not _errors(kernel.run("%load_ext toolkit"))
    assert not _errors(kernel.run("%reload_ext toolkit"))
    reply = kernel.run("%%prompt -m mock/a --max-tokens 20\nHello $you")
    assert "&lt;b&gt;one" in _data(reply, "text/html"), reply
    assert _data(reply, "text/plain").startswith("mock/a")
    assert server.requests[-1].json["messages"][-1]["content"] == "Hello $you"
    board = kernel.run("%%prompt -m mock/a -m mock/magic --system 'Be brief' kept\nHello")
    assert not _errors(board) and not _data(board, "text/html")
    assert "2" in str(kernel.run("print(len(kept.panes))"))
    found = kernel.run(
        "model = 'mock/magic'\n%sql SELECT count(*) AS n, any_value(status) AS status"
        " FROM calls WHERE model = $model"
    )
    # No other test of this kernel's home calls this model: an interrupted comparison leaves
    # cancelled calls of mock/b, as many as it had begun.
    assert _data(found, "text/plain").split()[-2:] == ["1", "ok"]
    assert not _errors(kernel.run("%%sql counts\nSELECT '$5' AS price, $model AS model"))
    assert "$5" in str(kernel.run("print(counts.price[0])"))
    for bad in ("%%prompt\nHi", "%%prompt --nonsense\nHi", "%sql SELECT $unknown", "%sql DROP x"):
        (error,) = _errors(kernel.run(bad))
        assert error.ename in ("InvalidInput", "StoreError"), bad


def test_a_run_shows_its_progress_in_the_notebook(kernel: Kernel, server: MockProvider) -> None:
    """The bar is tqdm's: a widget where ipywidgets are installed."""
    server.enqueue("Paris", times=6)
    outputs = kernel.run(
        "rows = [{'input': f'q{i}', 'target': 'Paris'} for i in range(6)]\n"
        "run = tk.evaluate(tk.Dataset.from_rows(rows), 'mock/a', scorers=['contains'])"
    )
    assert not _errors(outputs), outputs
    assert "application/vnd.jupyter.widget-view+json" in str(outputs)
    states = kernel.client.widget_state.values()
    (bar,) = [state for state in states if state.get("max") == 6]
    assert (bar["value"], bar["bar_style"]) == (6, "success")
