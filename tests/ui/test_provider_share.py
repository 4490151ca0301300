"""Export and import on the Providers page: previewed, without keys, whole or not at all."""

from __future__ import annotations

import json

from streamlit.testing.v1 import AppTest

from toolkit.toolkit import current

SCRIPT = """
import streamlit as st
from toolkit.ui.providers.providers_page import _draw_import, draw_share
from toolkit.toolkit import current

draw_share(current())
raw = st.session_state.get("raw")
if raw is not None:
    _draw_import(current(), raw, "skip")
"""


def draw(raw=None):
    app = AppTest.from_string(SCRIPT, default_timeout=30)
    app.session_state["raw"] = raw
    return app.run()


def exported():
    registry = current().providers.registry
    registry.add("mine", base_url="http://127.0.0.1:8999/v1", is_local=True, needs_key=False)
    return current().providers.transfer.write(["mine"]).encode()


def test_the_page_offers_a_file_and_takes_one(home):
    app = draw()
    assert not app.exception
    assert app.expander[0].label == "Export and import"


def test_what_a_file_would_do_is_shown_before_it_is_done(home):
    raw = exported().replace(b'"mine"', b'"theirs"')
    app = draw(raw)
    assert not app.exception
    (plan,) = [frame.value for frame in app.dataframe]
    assert plan[["Provider", "Action"]].to_numpy().tolist() == [["theirs", "add"]]
    assert current().providers.registry.find("theirs") is None
    next(b for b in app.button if b.label == "Import 1").click().run()
    assert current().providers.registry.require("theirs").is_local


def test_a_file_that_is_none_is_a_card_and_saves_nothing(home):
    app = draw(b"{")
    assert not app.exception
    assert not [b for b in app.button if b.label.startswith("Import ")]
    text = " ".join(e.value for e in (*app.error, *app.markdown, *app.text, *app.caption))
    assert "import" in text.lower()


def test_refused_entries_are_named_and_can_be_skipped(home):
    raw = exported().replace(b'"mine"', b'"theirs"')
    document = json.loads(raw)
    good = document["providers"]["theirs"]
    document["providers"]["broken"] = {**good, "base_url": "http://169.254.169.254/v1"}
    app = draw(json.dumps(document).encode())
    assert not app.exception
    assert "broken is refused" in " ".join(m.value for m in app.markdown)
    assert next(b for b in app.button if b.label == "Import 1").disabled
    app.checkbox(key="import-skip").check().run()
    next(b for b in app.button if b.label == "Import 1").click().run()
    assert not app.exception and not app.error
    registry = current().providers.registry
    assert registry.require("theirs").is_local and registry.find("broken") is None
    assert app.session_state["provider-notice"].endswith("refused: broken.")
