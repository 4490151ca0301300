"""`llm` on the command line, with models of its OpenAI-compatible settings.

Started with `completion` as its first argument, its models ask for text completions.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

from click.testing import CliRunner

from tests.api.clients.asking import chosen, fails, tell

HOME = Path(tempfile.mkdtemp(prefix="llm-"))
COMPLETION = sys.argv[1:2] == ["completion"]
if COMPLETION:
    del sys.argv[1]
NAMES = {entry.partition("=")[0] for entry in sys.argv[1:]} | {"nobody/m"}
MODELS = "\n".join(
    f'- model_id: "{name}"\n  model_name: "{name}"\n  api_base: "{os.environ["GATEWAY_URL"]}"\n'
    f"  api_key_name: gateway\n  completion: {str(COMPLETION).lower()}"
    for name in sorted(NAMES)
)
(HOME / "extra-openai-models.yaml").write_text(MODELS)


# No plugins: those of the environment may need packages that it does not have.
os.environ |= {"LLM_USER_PATH": str(HOME), "LLM_LOAD_PLUGINS": ""}
from llm.cli import cli  # noqa: E402 - it reads its folder when it is imported


def llm(*arguments: str, model: str = "") -> list[str | int]:
    """The answer and the output tokens, which `--usage` prints beside it."""
    options = ["--usage", "--key", os.environ["GATEWAY_TOKEN"]]
    command = ["-m", model or chosen(), *options, *arguments, "hi"]
    done = CliRunner().invoke(cli, command, catch_exceptions=False)
    if done.exit_code:
        raise RuntimeError(done.stderr.strip())
    return [done.stdout.strip(), *map(int, re.findall(r"(\d+) output", done.stderr))]


tell(
    {
        "whole": lambda: llm("--no-stream"),
        "stream": llm,
        "completion": lambda: llm()[0],  # it shows no usage of these
        "error": lambda: fails(lambda: llm("--no-stream", model="nobody/m")),
        "broken stream": lambda: fails(llm),
    }
)
