"""Custom providers: a class that answers calls, found by entry point or registered in Python.

A plugin is any class with one of `complete`, `acomplete` or `astream` (or litellm's `CustomLLM`
interface). It may also supply only a token or an address for an OpenAI-compatible server. See
`docs/plugins.md`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Any, Final

from toolkit.errors import InvalidProvider
from toolkit.providers.naming import check_name
from toolkit.providers.provider import Provider
from toolkit.secret import Secret

_ANSWERING: Final = ("complete", "acomplete", "astream", "acompletion", "astreaming")
_SUPPLYING: Final = ("token", "url")


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginRequest:
    """A request to a plugin.

    Attributes:
        model: the model's id, without the provider's name.
        messages: the conversation in OpenAI's format.
        params: parameters in OpenAI's names (`temperature`, `max_tokens`, `tools`, ...).
        key: the active key of the provider, or None.
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    params: Mapping[str, Any] = field(default_factory=dict)
    key: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of an answer, or a whole answer.

    Attributes:
        text: text of the answer.
        reasoning: text of the model's reasoning.
        tool_calls: tool calls in OpenAI's format.
        finish_reason: `stop`, `length`, `tool_calls`, ...; in the last part.
        usage: tokens under OpenAI's names (`prompt_tokens`, `completion_tokens`, ...), if known.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: Sequence[Mapping[str, Any]] = ()
    finish_reason: str | None = None
    usage: Mapping[str, int] | None = None


Answer = Piece | str
Complete = Callable[[PluginRequest], Answer]
AComplete = Callable[[PluginRequest], Awaitable[Answer]]
AStream = Callable[[PluginRequest], AsyncIterator[Answer]]


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin that is ready to be called.

    Attributes:
        provider: its entry in the registry; `base_url` is that of its own server ("" without one).
        target: the object that answers.
    """

    provider: Provider
    target: Any

    @property
    def answers(self) -> bool:
        """Whether it answers calls; otherwise it supplies a token or an address."""
        return any(callable(getattr(self.target, name, None)) for name in _ANSWERING)

    def models(self) -> list[str]:
        """Ids of its models, from the attribute or method `models`."""
        models = getattr(self.target, "models", ())
        return [str(name) for name in (models() if callable(models) else models)]


def make_plugin(
    kind: Any, *, name: str | None = None, settings: Mapping[str, Any] | None = None
) -> Plugin:
    """Create a plugin: check its class, validate its settings, build its object.

    Args:
        kind: a class (created with its validated settings, or without arguments) or an object.
        name: the provider's name; None takes the class's `name`.
        settings: for its `Settings`, a pydantic model.

    Raises:
        InvalidProvider: it has no name or none of the methods, or its settings are not valid.
    """
    own_name = check_name(name or str(getattr(kind, "name", "")))
    target = _build(kind, own_name, settings or {}) if isinstance(kind, type) else kind
    plugin = Plugin(_provider_of(own_name, target), target)
    supplies = any(callable(getattr(target, method, None)) for method in _SUPPLYING)
    if not plugin.answers and not supplies:
        raise InvalidProvider(
            f"the plugin {own_name} defines none of {', '.join((*_ANSWERING[:3], *_SUPPLYING))}",
            provider=own_name,
            cause="plugin",
            hint="See docs/plugins.md.",
        )
    return plugin


def _build(kind: type, name: str, given: Mapping[str, Any]) -> Any:
    from pydantic import ValidationError

    model = getattr(kind, "Settings", None)
    try:
        settings = None if model is None else model(**given)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise InvalidProvider(
            f"the settings of the plugin {name} are not valid: {wrong}",
            provider=name,
            cause="plugin_settings",
            hint=f"Correct [plugins.{name}] in providers.toml.",
        ) from None
    if model is None and given:
        raise InvalidProvider(f"the plugin {name} takes no settings", provider=name, cause="plugin")
    try:
        return kind() if settings is None else kind(settings)
    except Exception as error:  # noqa: BLE001 - a plugin is foreign code
        raise _failed(name, error) from None


def _provider_of(name: str, target: Any) -> Provider:
    answers = any(callable(getattr(target, method, None)) for method in _ANSWERING)
    url = getattr(target, "base_url", "") or ""
    origin = Provider(name=name, base_url=url).origin
    return Provider(
        name=name,
        display_name=str(getattr(target, "display_name", "") or name),
        type="custom" if answers else getattr(target, "type", "openai-compatible"),
        base_url=url,
        default_model=getattr(target, "default_model", None),
        key_env=tuple(getattr(target, "key_env", ())),
        key_origin=origin or None,
        key_url=getattr(target, "key_url", None),
        needs_key=bool(getattr(target, "needs_key", False)),
        is_local=answers or bool(getattr(target, "is_local", False)),
        source="plugin",
    )


def load_plugin(point: EntryPoint, settings: Mapping[str, Any] | None = None) -> Plugin:
    """Import a plugin and create it.

    Raises:
        InvalidProvider: it cannot be imported, or as `make_plugin`.
    """
    try:
        kind = point.load()
    except Exception as error:  # noqa: BLE001 - importing foreign code
        raise _failed(point.name, error) from None
    return make_plugin(kind, name=point.name, settings=settings)


def _failed(name: str, error: Exception) -> InvalidProvider:
    return InvalidProvider(
        f"the plugin {name!a} could not be loaded ({type(error).__name__})",
        cause="plugin",
        hint="Reinstall or remove the package that provides it.",
    )
