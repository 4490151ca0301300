"""A file that people edit too: damage that is valid TOML is reported, with the way back."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.errors import InvalidProvider
from toolkit.providers import outside_changes
from toolkit.providers.outside_changes import check_settings_file
from toolkit.providers.registry import Registry
from toolkit.providers.registry_file import RegistryFile
from toolkit.settings import Settings
from toolkit.toolkit import Toolkit

URL = "https://llm.corp.example/v1"
SETTINGS = """# of the team
recording = "hash"
max_retries = 4
daily_budget_usd = 12.5

[chains]
spare = ["corp/a", "other/b"]

[budgets]
"provider:corp" = 3.0
"""


@pytest.fixture
def filled(registry: Registry) -> Registry:
    registry.add("corp", base_url=URL, rpm=60, params={"temperature": 0.5}, key_env=("A_KEY",))
    registry.add("other", base_url="https://other.example/v1", tpm=1000, timeout_s=20)
    registry.set_default("corp")
    return registry


def edit(registry: Registry, old: str, new: str) -> None:
    path = registry.file.path
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_what_the_toolkit_writes_itself_is_not_reported(filled, settings, caplog):
    Registry(settings).update("corp", rpm=30)
    assert filled.require("corp").rpm == 30
    assert Registry(settings).require("corp").rpm == 30
    assert not caplog.records


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("rpm = 60", "rpm = 20", "providers.corp.rpm is different"),
        ("rpm = 60\n", "", "providers.corp.rpm is missing"),
        ("rpm = 60", "rpm = 60\ntpm = 5", "providers.corp.tpm is new"),
        ("[providers.other]", "[provideqs.other]", "'provideqs' has no effect"),
        ("rpm = 60", "rpl = 60", "providers.corp: 'rpl' has no effect"),
        ('provider = "corp"', "provider = 3", "defaults has no effect"),
    ],
)
def test_a_change_outside_is_reported_once_with_what_it_was(
    filled, settings, caplog, old, new, said
):
    edit(filled, old, new)
    Registry(settings).list()
    assert said in caplog.text
    assert "changed outside the toolkit" in caplog.text
    assert "--last-good" in caplog.text
    former = next(settings.backups_path.glob("providers-*.toml"))
    assert str(former.parent) in caplog.text
    caplog.clear()
    Registry(settings).list()
    assert "changed outside" not in caplog.text


def test_comments_and_order_are_no_change(filled, settings, caplog):
    edit(filled, "rpm = 60", "# as agreed\nrpm   =   60")
    assert Registry(settings).require("corp").rpm == 60
    assert not caplog.records


@pytest.mark.parametrize("gone", [b"", None])
def test_an_empty_or_missing_file_is_reported_and_restored(filled, settings, caplog, gone):
    good = filled.file.path.read_bytes()
    if gone is None:
        filled.file.path.unlink()
    else:
        filled.file.path.write_bytes(gone)
    late = Registry(settings)
    assert late.find("corp") is None
    assert ("is missing" in caplog.text) and "--last-good" in caplog.text
    late.file.recover()
    assert late.file.path.read_bytes() == good
    caplog.clear()
    assert Registry(settings).require("corp").rpm == 60
    assert not caplog.records


def test_restoring_a_file_that_is_as_it_was_written_changes_nothing(filled):
    filled.update("corp", rpm=30)
    filled.file.recover()
    assert filled.require("corp").rpm == 30


def test_a_change_outside_is_reported_before_the_next_change_hides_it(filled, settings, caplog):
    edit(filled, "rpm = 60", "rpm = 20")
    Registry(settings).file.change(lambda document, content: None)
    assert "providers.corp.rpm is different" in caplog.text


def test_a_folder_that_cannot_be_written_still_reports(filled, settings, caplog, monkeypatch):
    def refused(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    edit(filled, "rpm = 60", "rpm = 20")
    monkeypatch.setattr(outside_changes, "locked", refused)
    late = Registry(settings)
    assert late.require("corp").rpm == 20
    assert "providers.corp.rpm is different" in caplog.text


def damages(content: bytes, count: int) -> Iterator[bytes]:
    """The content with one bit turned, or cut; one of four is cut."""
    chance = random.Random(7)
    for n in range(count):
        bad = bytearray(content)
        if n % 4:
            bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        else:
            del bad[chance.randrange(len(bad)) :]
        yield bytes(bad)


def test_no_damage_to_the_registry_is_silent(filled, settings, tmp_path, caplog):
    """400 flips and cuts: the same content, an error, or a report."""
    wanted = filled.file.read()
    good, copy = filled.file.path.read_bytes(), filled.file.last_good_path.read_bytes()
    home = tmp_path / "damaged"
    late = RegistryFile(settings.model_copy(update={"home": home}))
    for bad in damages(good, 400):
        shutil.rmtree(home, ignore_errors=True)
        late.last_good_path.parent.mkdir(parents=True)
        late.last_good_path.write_bytes(copy)
        late.path.write_bytes(bad)
        caplog.clear()
        try:
            found = RegistryFile(settings.model_copy(update={"home": home})).read()
        except InvalidProvider:
            continue
        assert found == wanted or caplog.records, bad


@pytest.fixture
def home_with_settings(home: Path) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    (home / "settings.toml").write_text(SETTINGS)
    check_settings_file(Settings(home=home))
    return home


def test_a_change_of_the_settings_is_reported_once(home_with_settings, caplog):
    path = home_with_settings / "settings.toml"
    path.write_text(SETTINGS.replace('"hash"', '"full"').replace('"other/b"', '"other/c"'))
    for _ in range(2):
        with Toolkit(home_with_settings) as toolkit:
            assert toolkit.registry and toolkit.store
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "recording is different" in said[0] and "chains.spare is different" in said[0]
    (former,) = (home_with_settings / "backups").glob("settings-*.toml")
    assert former.read_text() == SETTINGS and str(former) in said[0]


def test_a_name_that_is_no_setting_is_reported_each_time(home_with_settings, caplog):
    path = home_with_settings / "settings.toml"
    path.write_text(SETTINGS.replace("max_retries", "max_retry"))
    for _ in range(2):
        with Toolkit(home_with_settings) as toolkit:
            assert toolkit.store
    assert caplog.text.count("did you mean max_retries?") == 2


def test_no_damage_to_the_settings_is_silent(home_with_settings, caplog):
    """200 flips and cuts: the same settings, an error, or a report."""
    wanted = Settings(home=home_with_settings)
    copy = home_with_settings / "backups" / "settings.last-read.toml"
    for bad in damages(SETTINGS.encode(), 200):
        copy.write_text(SETTINGS)
        (home_with_settings / "settings.toml").write_bytes(bad)
        caplog.clear()
        try:
            found = Settings(home=home_with_settings)
        except ValueError:
            continue
        check_settings_file(found)
        assert found == wanted or caplog.records, bad
