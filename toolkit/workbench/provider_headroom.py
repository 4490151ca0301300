"""How much a provider said may still be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from toolkit.store.store import Store

_QUERY: Final = """
SELECT started_at AS seen_at,
       ratelimit_limit_requests, ratelimit_remaining_requests, ratelimit_reset_requests_s,
       ratelimit_limit_tokens, ratelimit_remaining_tokens, ratelimit_reset_tokens_s
FROM calls
WHERE provider = ? AND source = 'live'
  AND (ratelimit_remaining_requests IS NOT NULL OR ratelimit_remaining_tokens IS NOT NULL)
ORDER BY started_at DESC
LIMIT 1
"""


def find_headroom(store: Store, provider: str) -> dict[str, Any] | None:
    """Limits, what remains and when it is reset (seconds after `seen_at`, UTC), by the newest
    answer that said so; None where none ever did.
    """
    rows = store.rows(_QUERY, (provider,))
    return rows[0] if rows else None
