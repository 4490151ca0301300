"""What the Providers page does when a form is sent. No drawing here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from toolkit.errors import ToolkitError
from toolkit.keys.os_keyring import OSKeyring
from toolkit.providers.checks import ProbeResult
from toolkit.providers.provider import Provider
from toolkit.secret import Secret
from toolkit.toolkit import Toolkit

KeyStore = Literal["keyring", "vault"]
STORES: Final[Mapping[str, str]] = {"keyring": "system keyring", "vault": "encrypted file"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProvider:
    """What the add form says.

    Attributes:
        name, base_url, type, is_local, default_model: as in `Provider`.
        key: its key, or None; never part of a repr.
        store: where the key goes.
        opens: the passphrase of the vault, where the key goes there.
        insist: save it untested, whatever a test would find.
    """

    name: str
    base_url: str
    type: str | None = None
    is_local: bool = False
    default_model: str | None = None
    key: Secret | None = None
    store: KeyStore = "keyring"
    opens: Secret | None = None
    insist: bool = False

    def options(self) -> dict[str, Any]:
        """What `tk.providers.add` and `.test` take."""
        shown = {
            "base_url": self.base_url.strip() or None,
            "type": self.type,
            "local": self.is_local,
            "default_model": (self.default_model or "").strip() or None,
            "api_key": self.key.reveal() if self.key else None,
        }
        return {name: value for name, value in shown.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """What the key form says.

    Attributes:
        name: which of several keys.
        value: the key.
        store: where it goes.
        opens: the passphrase of the vault, where that is locked.
        check: whether a free request checks it first.
    """

    name: str
    value: Secret
    store: KeyStore = "keyring"
    opens: Secret | None = None
    check: bool = True


def save_key(toolkit: Toolkit, provider: Provider, new: NewKey) -> None:
    """Store a key in the vault or in the keyring.

    Raises:
        ToolkitError: it cannot be a key, the provider refuses it, or the store cannot be used.
    """
    if new.opens is not None:
        toolkit.keys.unlock_vault(new.opens.reveal())
    toolkit.keys.set(provider, new.value.reveal(), name=new.name, store=new.store, check=new.check)


def add_provider(toolkit: Toolkit, new: NewProvider) -> Provider | ProbeResult:
    """Test a provider and save it; what a test refuses comes back as its four answers.

    Raises:
        ToolkitError: the name is taken, a field is not acceptable, the key cannot be stored.
    """
    if new.opens is not None and new.store == "vault":
        toolkit.keys.unlock_vault(new.opens.reveal())
    providers, options = toolkit.providers, new.options()
    if new.insist:
        return providers.add(new.name, test=False, key_store=new.store, **options)
    try:
        return providers.add(new.name, key_store=new.store, **options)
    except ToolkitError as error:
        result = providers.test(None, **options)
        if not result.refusals:  # it was not the test that said no
            raise error from None
        return result


def usable_stores(toolkit: Toolkit) -> list[KeyStore]:
    """Where this machine can keep a key, the best first; the vault always can."""
    try:
        name = OSKeyring(toolkit.settings).backend_name().lower()
    except ToolkitError:
        return ["vault"]
    return ["vault"] if "fail" in name or "null" in name else ["keyring", "vault"]


def set_in_use(toolkit: Toolkit, name: str, in_use: bool) -> ToolkitError | None:
    """Enable or disable; returns what went wrong, for a switch that cannot raise."""
    try:
        (toolkit.providers.enable if in_use else toolkit.providers.disable)(name)
    except ToolkitError as error:
        return error
    return None
