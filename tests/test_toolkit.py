"""`Toolkit`: several homes in one process, each with its own settings and database."""

from __future__ import annotations

import toolkit as tk
from tests.servers import Answer, MockProvider


def test_two_homes_keep_their_calls_apart(tmp_path):
    with (
        MockProvider(Answer(text="Hello.")) as mock,
        tk.Toolkit(home=tmp_path / "one") as one,
        tk.Toolkit(home=tmp_path / "two") as two,
    ):
        for home in (one, two):
            home.providers.registry.add("mock", base_url=mock.base_url, is_local=True)
        one.complete("mock/a", "Hi")
        one.complete("mock/b", "Hi")
        two.complete("mock/a", "Hi")
        assert sorted(one.calls()["model"]) == ["mock/a", "mock/b"]
        assert list(two.calls()["model"]) == ["mock/a"]


def test_each_home_has_its_own_settings_file(tmp_path):
    for name, retries in (("one", 0), ("two", 5)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "settings.toml").write_text(f"max_retries = {retries}\n")
    assert tk.Toolkit(home=tmp_path / "one").settings.max_retries == 0
    assert tk.Toolkit(home=tmp_path / "two").settings.max_retries == 5


def test_a_closed_toolkit_can_be_opened_again(tmp_path):
    with MockProvider(Answer(text="Hello.")) as mock:
        with tk.Toolkit(home=tmp_path / "one") as one:
            one.providers.registry.add("mock", base_url=mock.base_url, is_local=True)
            one.complete("mock/a", "Hi")
        with tk.Toolkit(home=tmp_path / "one") as again:
            assert len(again.calls()) == 1
