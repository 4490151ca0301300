"""How much a provider said may still be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from toolkit.store.store import Store

_QUERY: Final = """
SELECT provider, started_at AS seen_at,
       ratelimit_limit_requests, ratelimit_remaining_requests, ratelimit_reset_requests_s,
       ratelimit_limit_tokens, ratelimit_remaining_tokens, ratelimit_reset_tokens_s
FROM calls
WHERE source = 'live' AND started_at >= now() - INTERVAL 7 DAY
  AND (ratelimit_remaining_requests IS NOT NULL OR ratelimit_remaining_tokens IS NOT NULL)
QUALIFY row_number() OVER (PARTITION BY provider ORDER BY started_at DESC) = 1
ORDER BY provider
"""


def read_headroom(store: Store) -> dict[str, dict[str, Any]]:
    """Limits, what remains and when it is reset (seconds after `seen_at`, UTC), by provider and
    by its newest answer of a week that said so.
    """
    return {row.pop("provider"): row for row in store.rows(_QUERY)}
