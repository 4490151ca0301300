"""What a route requires of the caller's token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request

from toolkit.api.bearer_tokens import BearerToken, Scope
from toolkit.errors import Forbidden, ScopeMissing


def scope_error(token: BearerToken, scope: Scope) -> ScopeMissing | None:
    """What is wrong with a token that lacks a scope; None where it has it."""
    if scope in token.scopes:
        return None
    return ScopeMissing(
        f"token {token.name!r} lacks the scope {scope!r}",
        hint=f"Make one with `toolkit serve token create NAME --scope {scope}`.",
    )


def require_scope(scope: Scope) -> Callable[[Request], Awaitable[BearerToken]]:
    """A dependency that hands a route its token.

    Raises (when called): ScopeMissing: the token does not have `scope`.
    """

    # A coroutine, though it waits for nothing: FastAPI runs plain functions in a thread, and the
    # change of threads cost more than all the rest of the framework's work on a request.
    async def token_with_scope(request: Request) -> BearerToken:
        token: BearerToken = request.state.token
        if error := scope_error(token, scope):
            raise error
        return token

    return token_with_scope


def require_model(token: BearerToken, model: str) -> None:
    """Refuse a model that is not among the token's.

    Raises:
        Forbidden: it is not.
    """
    if not token.may_call(model):
        raise Forbidden(f"token {token.name!r} may not call {model}")
