"""The keyring tests against a real Secret Service: gnome-keyring on a session bus of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("dbus-run-session", "gnome-keyring-daemon")

INSIDE = """
import keyring, sys
from keyring.backends import SecretService
keyring.set_keyring(SecretService.Keyring())
from toolkit.errors import KeyStoreError
from toolkit.keys.service import Keys
from toolkit.keys.os_keyring import OSKeyring
from toolkit.providers.registry import Registry
from toolkit.secret import Secret
from toolkit.settings import Settings

settings = Settings(keyring_timeout_s=20)
chain = OSKeyring(settings)
if sys.argv[1] == "locked":
    try:
        chain.set("corp", Secret("k" * 30))
    except KeyStoreError as error:
        print(error.cause)
    sys.exit()
for value in ("k" * 30, "k" * 100_000, "ключ", "a\\nb", "a\\0b", "x"):
    chain.set("corp", Secret(value))
    assert chain.get("corp") == Secret(value), value[:10]
assert chain.remove("corp") and not chain.remove("corp")
assert chain.get("corp") is None
corp = Registry(settings).add("corp", base_url="https://llm.corp.example/v1")
Keys(settings, Registry(settings)).set(corp, "k" * 30)
Keys(settings, Registry(settings)).set(corp, "w" * 30, name="work")
fresh = Keys(settings, Registry(settings))
assert fresh.resolve(corp).secret.reveal() == "k" * 30
assert fresh.resolve(corp, name="work").source == "keyring"
fresh.rotate(corp, "n" * 30, works=lambda secret: None)
assert Keys(settings, Registry(settings)).resolve(corp).secret.reveal() == "n" * 30
for name in ("default", "work"):
    fresh.remove(corp, name=name)
assert Keys(settings, Registry(settings)).resolve(corp) is None
print(chain.backend_name(), "works")
"""


def on_a_bus(home: Path, tmp_path: Path, shell: str) -> subprocess.CompletedProcess[str]:
    """Run the script inside a session of its own, whose keyrings are in a folder of the test."""
    for program in PROGRAMS:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    data = tmp_path / "xdg"
    data.mkdir()
    (tmp_path / "inside.py").write_text(INSIDE)
    environment = {
        **os.environ,
        "HOME": str(data),
        "XDG_DATA_HOME": str(data),
        "XDG_RUNTIME_DIR": str(data),
        "TOOLKIT_HOME": str(home),
        "PYTHONPATH": str(ROOT),
    }
    data.chmod(0o700)
    return subprocess.run(
        ["dbus-run-session", "--", "sh", "-c", shell, "sh", sys.executable, str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.mark.secret_service
def test_keys_in_a_real_secret_service(home, tmp_path):
    done = on_a_bus(
        home,
        tmp_path,
        "printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null; "
        'exec "$1" "$2/inside.py" open',
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().endswith("works")
    for path in (p for p in home.rglob("*") if p.is_file()):
        assert b"k" * 20 not in path.read_bytes()


@pytest.mark.secret_service
def test_a_session_without_a_secret_service_is_told(home, tmp_path):
    done = on_a_bus(home, tmp_path, 'exec "$1" "$2/inside.py" locked')
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() in ("no_keyring", "keyring_locked", "keyring_failed")
