"""`llm` on the command line, with a model of its OpenAI-compatible settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.api.clients.asking import fails, tell

HOME = Path(tempfile.mkdtemp(prefix="llm-"))
MODELS = "\n".join(
    f'- model_id: {name}\n  model_name: {model}\n  api_base: "{os.environ["GATEWAY_URL"]}"\n'
    "  api_key_name: gateway"
    for name, model in (("mine", "mock/m"), ("nobody", "nobody/m"))
)
(HOME / "extra-openai-models.yaml").write_text(MODELS)


def llm(*arguments: str, model: str = "mine") -> list[str | int]:
    """The answer and the output tokens, which `--usage` prints beside it."""
    command = [
        sys.executable,
        "-m",
        "llm",
        "-m",
        model,
        "--usage",
        "--key",
        os.environ["GATEWAY_TOKEN"],
    ]
    done = subprocess.run(
        [*command, *arguments, "hi"],
        capture_output=True,
        text=True,
        env={**os.environ, "LLM_USER_PATH": str(HOME)},
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    (tokens,) = re.findall(r"(\d+) output", done.stderr)
    return [done.stdout.strip(), int(tokens)]


tell(
    {
        "whole": lambda: llm("--no-stream"),
        "stream": llm,
        "error": lambda: fails(lambda: llm("--no-stream", model="nobody")),
        "broken stream": lambda: fails(llm),
    }
)
