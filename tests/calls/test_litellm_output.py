"""litellm writes nothing to standard output, where `--json` puts one document."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.calls.asking import Asking, make_provider, quick_settings
from tests.servers import Answer, MockProvider
from toolkit.calls.adapters import write_request
from toolkit.calls.adapters.request import OutgoingRequest, RequestNotBuilt
from toolkit.errors import CallError
from toolkit.providers.type_detection import TYPES
from toolkit.secret import Secret

ROOT = Path(__file__).resolve().parents[2]
# Takes a while to import, and prints what an error of litellm prints unless that is turned off.
STAND_IN = """
import time
suppress_debug_info = False
time.sleep(0.1)
def fail():
    if suppress_debug_info is False:
        print()
        print("Give Feedback / Get Help")
"""
RACE = """
import threading
from toolkit.calls.adapters.library import load
threads = [threading.Thread(target=lambda: load().fail()) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
REFUSED = [
    {"tools": "weather", "tool_choice": 5},
    {"response_format": {"type": "nonsense"}, "temperature": "warm"},
    {"reasoning_effort": "enormous", "max_tokens": -1, "stop": 7},
]
UNUSUAL = [
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
    [{"role": "tool", "content": "8 degrees", "tool_call_id": "nowhere"}],
]


def test_its_messages_are_off_before_any_of_its_functions_runs(tmp_path):
    """However many threads need it first."""
    (tmp_path / "litellm.py").write_text(STAND_IN)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", RACE],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_a_request_that_it_refuses_is_no_reason_to_print(capfd):
    refused = 0
    for number, kind in enumerate(sorted(TYPES)):
        request = OutgoingRequest(
            type=kind,
            base_url="http://127.0.0.1:9/v1",
            model_id="no-such-model",
            messages=UNUSUAL[number % 2],
            params=REFUSED[number % 3],
            stream=number % 2 == 1,
            key=Secret("k" * 20),
        )
        try:
            write_request(request)
        except RequestNotBuilt:
            refused += 1
    assert refused, "litellm refused none of these, so this test shows nothing"
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("kind", ["cohere", "bedrock", "ollama", "triton", "watsonx", "gemini"])
def test_an_answer_that_it_cannot_read_is_no_reason_to_print(capfd, kind):
    with MockProvider(Answer(status=404, body=b'{"error": "no such model"}')) as server:
        provider = make_provider(server.origin, kind, params={"project_id": "p1"})
        asking = Asking(provider, quick_settings(max_retries=0), key="eyJ" + "k" * 20)
        server.enqueue(body=b'{"unknown": []}')
        for _ in range(2):
            with pytest.raises(CallError):
                asyncio.run(asking.complete())
    assert capfd.readouterr().out == ""
