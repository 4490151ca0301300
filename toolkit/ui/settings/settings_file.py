"""All settings with value, default, source and meaning, and a change of one in `settings.toml`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomlkit
from pydantic import SecretStr, ValidationError
from tomlkit.exceptions import TOMLKitError

from toolkit.errors import InvalidInput
from toolkit.files import locked, write_atomic
from toolkit.settings import Settings

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
