"""Saves that are killed at any moment leave whole files, and nothing beside them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.shell import child_environment

_KILLS = 200

# One process loads everything once and forks the writers, so that 200 kills take seconds. It has
# one thread, which is what makes forking safe.
_RUN = """
import json, os, random, signal, sys, time
import toolkit as tk
from toolkit.toolkit import Toolkit

KEYS = {name: "sk-" + name * 40 for name in "ab"}
PARAMS = {name: {"text": name * 20_000} for name in "ab"}
toolkit = Toolkit()
toolkit.settings.make_home()
toolkit.keys.unlock_vault("correct horse battery")
registry, keys = toolkit.providers.registry, toolkit.keys
registry.add("one", base_url="http://127.0.0.1:59999/v1", is_local=True, params=PARAMS["a"])
keys.set("one", KEYS["a"], store="vault", check=False)
home, rng, rounds = toolkit.settings.home, random.Random(15), 0
broken, alive = [], 0
for number in range(int(sys.argv[1])):
    pid = os.fork()
    if pid == 0:
        try:
            while True:
                for name in "ba":
                    registry.update("one", params=PARAMS[name])
                    keys.set("one", KEYS[name], store="vault", check=False)
        finally:
            os._exit(1)
    time.sleep(rng.uniform(0.0, 0.06))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    alive += os.WIFSIGNALED(status)
    params = dict(registry.require("one").params)
    if params not in PARAMS.values():
        broken.append(f"{number}: parameters")
    if keys.get("one", reveal=True) not in KEYS.values():
        broken.append(f"{number}: key")
registry.update("one", params=PARAMS["a"])
keys.set("one", KEYS["a"], store="vault", check=False)
names = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
print(json.dumps({"broken": broken, "killed": alive, "files": names}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks writers; Windows has no fork")
def test_two_hundred_killed_saves_break_nothing_and_leave_nothing_behind(home) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(_KILLS)],
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["broken"] == []
    assert found["killed"] == _KILLS, "every writer was still writing when it was killed"
    left = [name for name in found["files"] if name.rpartition("/")[2].startswith(".")]
    assert [name for name in left if not name.endswith(".lock")] == []
