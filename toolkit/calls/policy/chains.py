"""Failover chains that have a name: of the settings, or made of the providers in use.

Nobody is asked in another's place unless a chain was named: it may cost money.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from toolkit.errors import InvalidInput
from toolkit.providers.presets import LOCAL

if TYPE_CHECKING:
    from toolkit.providers.registry import Registry

ACTIVE: Final = "active"


def expand_fallbacks(
    model: str,
    fallbacks: str | Sequence[str],
    chains: Mapping[str, Sequence[str]],
    registry: Registry,
) -> tuple[str, ...]:
    """The models to ask after `model`, in order, each once.

    Args:
        model: what is asked first.
        fallbacks: models, or the name of a chain: one of `chains`, or `active` for the default
            provider and then the other providers in use, each with its default model (the
            built-in model is nobody's stand-in unless it is the default).
        chains: the chains of the settings.
        registry: the providers.

    Raises:
        InvalidInput: there is no chain of that name.
    """
    if isinstance(fallbacks, str):
        fallbacks = _find_chain(fallbacks, chains, registry)
    return tuple(dict.fromkeys(name for name in fallbacks if name != model))


def order_chain(
    model: str,
    fallbacks: Sequence[str],
    worst_last: Callable[[Sequence[str]], Sequence[str]],
    *,
    keep_first: bool = False,
) -> tuple[str, tuple[str, ...]]:
    """Whom to ask first and whom then: nobody is left out, those that are down come last.

    Args:
        model: what was named first.
        fallbacks: what was named after it.
        worst_last: puts models of providers that are down behind the others.
        keep_first: `model` stays first, whatever its state.
    """
    if keep_first:
        return model, tuple(worst_last(fallbacks))
    first, *rest = worst_last((model, *fallbacks))
    return first, tuple(rest)


def _find_chain(
    name: str, chains: Mapping[str, Sequence[str]], registry: Registry
) -> Sequence[str]:
    if name in chains:
        return chains[name]
    if name == ACTIVE:
        in_use = [
            provider
            for provider in registry.list(active=True)
            if provider.default_model and (provider.name != LOCAL or provider.is_default)
        ]
        ordered = sorted(in_use, key=lambda provider: not provider.is_default)
        return [f"{provider.name}/{provider.default_model}" for provider in ordered]
    if "/" in name:
        return [name]
    known = ", ".join([*chains, ACTIVE])
    raise InvalidInput(
        f"there is no failover chain named {name!r}",
        hint=f"Known chains: {known}. Name your own under [chains] in settings.toml.",
    )
