"""The registry of failover chains: every named chain and its models.

A chain can be named wherever a model can: as the model of a call, in `fallbacks`, on the command
line, in an evaluation, at the gateway. No other provider is called unless a chain was named: it
may cost money.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from toolkit.errors import InvalidInput
from toolkit.providers.provider import LOCAL
from toolkit.providers.provider_list import ProviderList
from toolkit.records import ChatRequest

DEFAULT: Final = "default"
ACTIVE: Final = "active"


class FailoverChains:
    """Named chains of the settings and of `providers.toml`, and the two built-in ones.

    `default` is the default provider's default model. `active` is that one and then the other
    providers in use, each with its default model (the built-in model is in it only where it is
    the default).

    Args:
        own: `[chains]` of `settings.toml`; of two chains of one name these are used.
        providers: the providers, with `[aliases]` of `providers.toml`.
        worst_last: puts the models of providers that are down behind the others.
    """

    def __init__(
        self,
        own: Mapping[str, Sequence[str]],
        providers: ProviderList,
        worst_last: Callable[[Sequence[str]], Sequence[str]] = lambda models: models,
    ) -> None:
        self._own, self._providers, self._worst_last = own, providers, worst_last

    def names(self) -> list[str]:
        """The names of all chains, those of the user first."""
        return list(dict.fromkeys([*self._own, *self._providers.aliases(), DEFAULT, ACTIVE]))

    def served(self) -> list[str]:
        """The chains that the user named, and `default` where there is a default model."""
        default = self._providers.find_default()
        has_default = default is not None and bool(default.default_model)
        return [n for n in self.names() if n != ACTIVE and (n != DEFAULT or has_default)]

    def find(self, name: str) -> tuple[str, ...] | None:
        """The models of a chain, or None where there is no chain of that name.

        Raises:
            InvalidInput: `default` or `active` was named and there is no such model.
        """
        if name in self._own:
            return tuple(self._own[name])
        if models := self._providers.find_alias(name):
            return models
        if name == DEFAULT:
            return (self._default_model(),)
        if name == ACTIVE:
            return self._active_models()
        return None

    def require(self, name: str) -> tuple[str, ...]:
        """The models behind a name: those of a chain, or the one model it is.

        Raises:
            InvalidInput: it is neither.
        """
        models = self.find(name)
        if models is None and ("/" in name or self._providers.find(name) is not None):
            return (name,)  # a provider's name alone means its default model
        if not models:
            raise InvalidInput(
                f"{name!r} is neither a model nor a failover chain",
                hint=(
                    "Write a model as `provider/model_id`. "
                    f"Known chains: {', '.join(self.names())}; "
                    "add your own under [chains] in settings.toml."
                ),
            )
        return models

    def expand(self, request: ChatRequest, *, keep_first: bool = False) -> ChatRequest:
        """The request with models in place of the names of chains, each model once.

        Providers that are down come last, but none is left out.

        Args:
            request: its model and its fallbacks may be names of chains.
            keep_first: the first model stays first; an explicit key is for that one only.

        Raises:
            InvalidInput: a name in `fallbacks` is neither a model nor a chain.
        """
        first_models = self.find(request.model) or (request.model,)
        if not request.fallbacks and first_models == (request.model,):
            return request
        others = (model for name in request.fallbacks for model in self.require(name))
        models: Sequence[str] = list(dict.fromkeys((*first_models, *others)))
        if len(models) > 1:
            first, rest = models[:1], models[1:]
            models = (*first, *self._worst_last(rest)) if keep_first else self._worst_last(models)
        return replace(request, model=models[0], fallbacks=tuple(models[1:]))

    def _default_model(self) -> str:
        provider = self._providers.find_default()
        if provider is None:
            raise InvalidInput(
                "no default provider is set",
                hint="Set it with `toolkit providers default`; `toolkit providers list` shows "
                "the names.",
            )
        if not provider.default_model:
            raise InvalidInput(
                f"the default provider {provider.name} has no default model",
                provider=provider.name,
                hint=f"Set one with `toolkit providers update {provider.name} --default-model "
                "MODEL`.",
            )
        return f"{provider.name}/{provider.default_model}"

    def _active_models(self) -> tuple[str, ...]:
        in_use = [
            provider
            for provider in self._providers.all()
            if provider.is_active
            and not provider.is_removed
            and provider.default_model
            and (provider.name != LOCAL or provider.is_default)
        ]
        ordered = sorted(in_use, key=lambda provider: not provider.is_default)
        return tuple(f"{provider.name}/{provider.default_model}" for provider in ordered)
