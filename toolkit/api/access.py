"""What a route asks of the caller's token."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request

from toolkit.api.tokens import Scope, Token
from toolkit.errors import ToolkitError


class ScopeMissing(ToolkitError):
    """The token is good but lacks the scope that the route needs."""

    code = "SCOPE_REQUIRED"
    default_blame = "client"


def require_scope(scope: Scope) -> Callable[[Request], Token]:
    """A dependency that hands a route its token.

    Raises (when called): ScopeMissing: the token does not have `scope`.
    """

    def token_with_scope(request: Request) -> Token:
        token: Token = request.state.token
        if scope not in token.scopes:
            raise ScopeMissing(
                f"token {token.name!r} lacks the scope {scope!r}",
                hint=f"Make one with `toolkit serve token create NAME --scope {scope}`.",
            )
        return token

    return token_with_scope
