"""Saves that are killed at any moment leave whole files, and nothing beside them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell import ROOT, child_environment

_KILLS = 200
_KILLS_WITH_DAEMON = 60

# One process loads everything once and forks the writers, so that 200 kills take seconds. It has
# one thread when it forks, which is what makes forking safe.
_RUN = """
import json, os, random, signal, sys, time
from pathlib import Path
import keyring
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError
from toolkit.files import write_atomic
from toolkit.keys.os_keyring import trust_backend
from toolkit.settings import Settings
from toolkit.toolkit import Toolkit
from toolkit.ui.settings.settings_page import change_setting

KINDS = sys.argv[3].split(",")
KEPT = Path(sys.argv[2])
KEYS = {name: "sk-" + name * 40 for name in "ab"}
PARAMS = {name: {"text": name * 20_000} for name in "ab"}
RETRIES = {"a": 3, "b": 4}


class FileKeyring(KeyringBackend):
    '''One file per key, as a keyring outside of this process.'''

    priority = 1

    def _path(self, username):
        return KEPT / username.encode().hex()

    def set_password(self, service, username, password):
        write_atomic(self._path(username), password)

    def get_password(self, service, username):
        path = self._path(username)
        return path.read_text() if path.exists() else None

    def delete_password(self, service, username):
        try:
            self._path(username).unlink()
        except FileNotFoundError:
            raise PasswordDeleteError() from None


if "daemon" in KINDS:
    from keyring.backends import SecretService

    keyring.set_keyring(SecretService.Keyring())
else:
    keyring.set_keyring(FileKeyring())
    trust_backend(FileKeyring)
toolkit = Toolkit()
settings, home = toolkit.settings, toolkit.settings.home
settings.make_home()
toolkit.keys.unlock_vault("correct horse battery")
registry, keys = toolkit.providers.registry, toolkit.keys
registry.add("one", base_url="http://127.0.0.1:59999/v1", is_local=True, params=PARAMS["a"])
store = "vault" if "vault" in KINDS else "keyring"


def save(name):
    if "registry" in KINDS:
        registry.update("one", params=PARAMS[name])
    if "settings" in KINDS:
        change_setting(settings, "max_retries", str(RETRIES[name]))
    keys.set("one", KEYS[name], store=store, check=False)
    if name == "b":
        keys.remove("one")


save("a")
rng, broken, alive = random.Random(15), [], 0
for number in range(int(sys.argv[1])):
    pid = os.fork()
    if pid == 0:
        try:
            while True:
                save("b")
                save("a")
        finally:
            os._exit(1)
    time.sleep(rng.uniform(0.0, 0.08))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    alive += os.WIFSIGNALED(status)
    if dict(registry.require("one").params) not in PARAMS.values():
        broken.append(f"{number}: parameters")
    if Settings(home=home).max_retries not in RETRIES.values() and "settings" in KINDS:
        broken.append(f"{number}: settings")
    used = keys.get("one", reveal=True)
    listed = keys.list("one")
    if used not in (*KEYS.values(), None):
        broken.append(f"{number}: key")
    if [place.fingerprint[-4:] for place in listed if not used]:
        broken.append(f"{number}: a key is listed that is not there")
    if used and [p.fingerprint.partition("#")[0] for p in listed] != ["…" + used[-4:]]:
        broken.append(f"{number}: another key is used than is listed")
save("a")
keys.clear("one")
names = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
left = sorted(path.name for path in KEPT.iterdir())
stored = "one/default@http://127.0.0.1:59999"
kept = store == "keyring" and keyring.get_password(keys.stores.keyring.service, stored)
print(json.dumps({"broken": broken, "killed": alive, "files": names, "left": left, "kept": kept}))
"""


def _check(found: dict[str, Any], kills: int) -> None:
    assert found["broken"] == []
    assert found["killed"] == kills, "every writer was still writing when it was killed"
    left = [name for name in found["files"] if name.rpartition("/")[2].startswith(".")]
    assert [name for name in left if not name.endswith(".lock")] == []
    assert not found["kept"], "a key stays in the keyring after it was removed"
    assert [name for name in found["left"] if not name.startswith(".")] == []


@pytest.mark.skipif(sys.platform == "win32", reason="forks writers; Windows has no fork")
@pytest.mark.parametrize("kinds", ["registry,settings,vault", "keyring"])
def test_two_hundred_killed_saves_break_nothing_and_leave_nothing_behind(
    home: Path, tmp_path: Path, kinds: str
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(_KILLS), str(kept), kinds],
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    _check(json.loads(done.stdout), _KILLS)


@pytest.mark.secret_service
def test_killed_saves_into_a_real_keyring_leave_no_key_that_is_not_listed(
    home: Path, tmp_path: Path
) -> None:
    for program in ("dbus-run-session", "gnome-keyring-daemon"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    data, kept = tmp_path / "xdg", tmp_path / "kept"
    data.mkdir(mode=0o700)
    kept.mkdir()
    (tmp_path / "run.py").write_text(_RUN, "utf-8")
    own = {"HOME": data, "XDG_DATA_HOME": data, "XDG_RUNTIME_DIR": data, "TOOLKIT_HOME": home}
    shell = (
        "printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null; "
        f'exec "$1" "$2/run.py" {_KILLS_WITH_DAEMON} "$2/kept" keyring,daemon'
    )
    done = subprocess.run(
        ["dbus-run-session", "--", "sh", "-c", shell, "sh", sys.executable, str(tmp_path)],
        env={**os.environ, **{name: str(path) for name, path in own.items()},
             "PYTHONPATH": str(ROOT), "TOOLKIT_KEYRING_TIMEOUT_S": "30"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    _check(json.loads(done.stdout), _KILLS_WITH_DAEMON)
