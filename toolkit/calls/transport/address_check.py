"""Refuse forbidden addresses at the moment of connecting."""

from __future__ import annotations

from toolkit.calls.transport.exchange_record import WireFailure
from toolkit.errors import InvalidProvider


def refuse_address(ip: str, host: str, *, local: bool) -> None:
    """Refuse an address that a provider of this kind may not have.

    Raises:
        WireFailure: `address_refused`.
    """
    from toolkit.providers.base_url import check_ip

    try:
        check_ip(ip, local=local)
    except InvalidProvider as error:
        raise WireFailure("address_refused", f"{host} is {ip}: {error.message}") from None
