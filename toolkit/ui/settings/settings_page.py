"""The Settings page: every setting with its value, where it is from, and what it means."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import streamlit as st
import tomlkit
from pydantic import SecretStr, ValidationError
from tomlkit.exceptions import TOMLKitError

from toolkit.errors import InvalidInput, ToolkitError
from toolkit.files import locked, write_atomic
from toolkit.providers.outside_changes import keep_settings_file
from toolkit.settings import Settings
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.page_head import leave_notice, page_head
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.components.text import plain

_PANEL: Final = (62, 38)


def draw_settings(toolkit: Toolkit) -> None:
    """The whole page."""
    settings = list_settings(toolkit.settings)
    changed = sum(one.source != "default" for one in settings)
    sentence = f"{len(settings)} settings, **{changed} changed**; stored in `{FILE}` of the home."
    with page_head("Settings", sentence):
        pass
    opened = st.query_params.get("setting")
    one = next((one for one in settings if one.name == opened), None)
    if one is None:
        _draw_list(settings, is_beside=False)
    else:
        left, right = st.columns(_PANEL, gap="medium")
        with left:
            _draw_list(settings, is_beside=True)
        with right:
            _draw_editor(toolkit, one)
    st.caption(
        f"Home folder: {plain(toolkit.settings.home)} · Light or dark follows the system. An "
        "environment variable `TOOLKIT_` plus the name in capitals overrides the file."
    )


def _draw_list(settings: Sequence[Setting], *, is_beside: bool) -> None:
    columns = {
        "Name": Column([one.name for one in settings], 190, on_phone=True),
        "Value": Column([one.value for one in settings], 170, on_phone=True),
        "Default": Column([one.default for one in settings], 120),
        "From": Column([one.source for one in settings], 100),
        "Meaning": Column([one.meaning.replace("`", "") for one in settings], 560),
    }
    if is_beside:
        columns["Meaning"].width = 300
        del columns["Default"]
    chosen = draw_table(
        columns,
        key=f"settings-{'beside' if is_beside else 'alone'}",
        opens=("Name", "Value", "Default", "From", "Meaning"),
        alt="Settings with value, default, source and meaning",
        most_px=720,
    )
    name = None if chosen is None else settings[chosen].name
    if name and name not in (
        st.query_params.get("setting"),
        st.session_state.get("closed-setting"),
    ):
        st.query_params["setting"] = name
        st.rerun()


def _draw_editor(toolkit: Toolkit, one: Setting) -> None:
    with st.container(border=True, key="setting-panel"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.header(one.name, anchor=False, width="stretch")
            st.button("Close", icon=":material/close:", type="tertiary", key="close-setting",
                      on_click=_close)  # fmt: skip
        st.markdown(plain(one.meaning))
        st.caption(
            f"Current value: {plain(one.value)} (from {one.source}). Default: {plain(one.default)}."
        )
        if one.name == "home":
            st.caption("The home folder is set by the environment variable `TOOLKIT_HOME`.")
            return
        start = "" if one.is_secret or one.value == "not set" else one.value
        with st.form(f"setting-{one.name}", border=False, clear_on_submit=one.is_secret):
            text = st.text_input(
                "New value", value=start, type="password" if one.is_secret else "default",
                help="As in TOML: 30, true, [\"a\", \"b\"]. Empty removes the setting.",
            )  # fmt: skip
            saved = st.form_submit_button("Save", type="primary")
        st.caption("Takes effect after the app is restarted.")
        if saved:
            try:
                change_setting(toolkit.settings, one.name, text or "")
            except ToolkitError as error:
                error_card(error)
                return
            leave_notice(f"{one.name} is saved. Restart the app to use it.")
            st.rerun()


def _close() -> None:
    st.session_state["closed-setting"] = st.query_params.pop("setting", None)


FILE: Final = "settings.toml"
_ATTRIBUTE: Final = re.compile(r"^ {8}([a-z_, ]+):\s*(.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting as the page shows it.

    Attributes:
        name: the name in `settings.toml`; `TOOLKIT_` plus the name in capitals also sets it.
        value: in force now, as text; a secret is never shown.
        default: without a setting, as text.
        source: `default`, `settings.toml` or `environment`.
        meaning: what it does.
        is_secret: whether its value is hidden.
    """

    name: str
    value: str
    default: str
    source: str
    meaning: str
    is_secret: bool = False


def list_settings(settings: Settings) -> list[Setting]:
    """Every setting, in the order of the documentation."""
    meanings, written = read_meanings(), _read_file(settings.home / FILE)
    found = []
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        default = field.get_default(call_default_factory=True)
        is_default = value == default or (name == "home" and "home" not in written)
        source = "default" if is_default else "environment"
        found.append(
            Setting(
                name=name,
                value=as_text(value),
                default=as_text(default),
                source=FILE if name in written else source,
                meaning=meanings.get(name, ""),
                is_secret=isinstance(value, SecretStr),
            )
        )
    return found


def read_meanings() -> dict[str, str]:
    """What each setting does, from the class's own documentation."""
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in (Settings.__doc__ or "").splitlines():
        if match := _ATTRIBUTE.match(line):
            names = [name.strip() for name in match[1].split(",")]
            meanings.update(dict.fromkeys(names, match[2]))
        elif names and line.startswith(" " * 12):
            for name in names:
                meanings[name] = f"{meanings[name]} {line.strip()}".strip()
        else:
            names = []
    return {name: text[:1].upper() + text[1:] for name, text in meanings.items()}


def as_text(value: Any) -> str:
    """A value as in the file; secrets and missing values are described."""
    if isinstance(value, SecretStr):
        return "set" if value.get_secret_value() else "not set"
    if value is None or value in ("", (), {}):
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _as_toml(value) if isinstance(value, Mapping | tuple) else _number_text(value)


def _as_toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{json.dumps(str(k))} = {_as_toml(v)}' for k, v in value.items())}}}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_as_toml, value))}]"
    return json.dumps(value) if isinstance(value, str) else _number_text(value)


def _number_text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def change_setting(settings: Settings, name: str, text: str) -> None:
    """Write one setting into `settings.toml`, or take it out where the text is empty.

    Comments and everything else in the file stay. The change is in force at the next start.

    Raises:
        InvalidInput: there is no such setting, or this cannot be its value.
        FileLocked: another process is saving.
    """
    if name not in Settings.model_fields or name == "home":
        raise InvalidInput(f"there is no setting {name!r} that can be changed here")
    path = settings.home / FILE
    # Two sessions may save at the same time; the lock also removes what killed saves left.
    with locked(path, settings.lock_wait_s):
        write_atomic(path, _changed(path, name, text))
        keep_settings_file(settings)


def _changed(path: Path, name: str, text: str) -> str:
    """The content of the file with one setting changed."""
    try:
        document = tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()
        if not text.strip():
            document.pop(name, None)
        else:
            value = parse_value(text)
            Settings(home=path.parent, **{name: value})
            document[name] = value
    except ValidationError as error:
        reason = error.errors()[0]["msg"] if error.errors() else "it is not valid"
        raise InvalidInput(f"{name} cannot be {text!r}", hint=f"{reason}.") from None
    except TOMLKitError:
        raise InvalidInput(f"{FILE} cannot be read", hint=f"Correct {path} first.") from None
    return tomlkit.dumps(document)


def parse_value(text: str) -> Any:
    """Text as a TOML value: `30`, `true`, `["a"]`; anything else is a string."""
    try:
        return tomlkit.parse(f"value = {text.strip()}")["value"].unwrap()
    except (TOMLKitError, AttributeError, KeyError):
        return text.strip()


def _read_file(path: Path) -> Mapping[str, Any]:
    try:
        return tomlkit.parse(path.read_text("utf-8")).unwrap()
    except (OSError, UnicodeDecodeError, TOMLKitError):
        return {}
