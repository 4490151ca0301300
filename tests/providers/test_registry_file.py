"""`providers.toml`: broken files are told with their place, and never overwritten."""

from __future__ import annotations

import os
import stat
import sys

import pytest

from toolkit.errors import FileLocked, InvalidProvider, ProviderError
from toolkit.files import locked
from toolkit.providers.registry import Registry
from toolkit.settings import Settings

URL = "https://llm.corp.example/v1"


def test_the_file_and_its_folder_are_the_owners_alone(registry, home):
    registry.add("corp", base_url=URL)
    if sys.platform != "win32":
        assert stat.S_IMODE(registry.file.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(home.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b'version = 1\n[providers.a\nbase_url = "x"\n', "line 2"),
        (b"version = 1\n[providers.a]\nbase_url = 'x\n", "line 3"),
        (b"version = 1\nversion = 2\n", "line 2"),
        (b"a = 1\nb = \xff\n", "line 2, column 5"),
        (b"[providers]\na = 3\n", "[providers]"),
        (b"x = " + b"[" * 5000, "broken"),
    ],
)
def test_a_broken_file_is_told_with_its_place_and_left_alone(registry, content, where):
    registry.add("corp", base_url=URL)
    good = registry.file.path.read_bytes()
    registry.file.path.write_bytes(content)
    for use in (
        registry.list,
        lambda: registry.resolve("openai/x"),
        lambda: registry.add("two", base_url=URL),
        lambda: registry.disable("corp"),
    ):
        with pytest.raises(InvalidProvider) as broken:
            use()
        assert broken.value.cause == "broken_file"
        assert "--last-good" in broken.value.hint
    assert where in broken.value.message or "nested" in broken.value.message
    assert registry.file.path.read_bytes() == content
    aside = registry.file.recover()
    assert aside.read_bytes() == content
    assert registry.file.path.read_bytes() == good
    assert registry.require("corp").base_url == URL


def test_without_a_copy_there_is_nothing_to_take_back(registry, home):
    home.mkdir()
    registry.file.path.write_text("[[[")
    with pytest.raises(InvalidProvider) as broken:
        registry.list()
    assert "--last-good" not in broken.value.hint
    with pytest.raises(ProviderError):
        registry.file.recover()
    assert registry.file.path.read_text() == "[[["


def test_a_file_from_the_future_is_left_untouched(registry, home):
    home.mkdir()
    registry.file.path.write_text("version = 2\n")
    with pytest.raises(InvalidProvider) as newer:
        registry.add("corp", base_url=URL)
    assert newer.value.cause == "too_new"
    assert registry.file.path.read_text() == "version = 2\n"


def test_every_change_keeps_a_copy_of_before_and_only_the_last_ten(registry, settings):
    registry.add("corp", base_url=URL)
    for rpm in range(1, 15):
        registry.update("corp", rpm=rpm)
    copies = sorted(settings.backups_path.glob("providers-*.toml"))
    assert len(copies) == 10
    assert "rpm = 13" in copies[-1].read_text()
    assert "rpm = 14" in registry.file.last_good_path.read_text()


def test_a_change_by_another_hand_is_seen_at_once(registry, settings):
    registry.add("corp", base_url=URL)
    Registry(settings).update("corp", rpm=7)
    assert registry.require("corp").rpm == 7


def test_a_lock_that_is_kept_ends_in_a_clear_error(home):
    settings = Settings(home=home, lock_wait_s=0.05)
    registry = Registry(settings)
    registry.add("corp", base_url=URL)
    before = registry.file.path.read_bytes()
    with locked(settings.registry_path, 1.0), pytest.raises(FileLocked) as kept:
        registry.update("corp", rpm=3)
    assert kept.value.cause == "locked"
    assert registry.file.path.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_changes_nothing(registry, home):
    registry.add("corp", base_url=URL)
    home.chmod(0o500)
    try:
        with pytest.raises(ProviderError) as refused:
            registry.update("corp", rpm=3)
        assert refused.value.cause == "not_written"
    finally:
        home.chmod(0o700)


def test_a_full_disk_leaves_the_old_file_whole(registry, monkeypatch):
    registry.add("corp", base_url=URL)
    before = registry.file.path.read_bytes()

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(ProviderError) as refused:
        registry.update("corp", rpm=3)
    assert "No space" in refused.value.message
    assert registry.file.path.read_bytes() == before
    left = {path.name for path in registry.file.path.parent.glob(".providers.toml.*")}
    assert left == {".providers.toml.lock"}
