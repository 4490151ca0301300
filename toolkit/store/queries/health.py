"""Queries over probes, incidents and the calls that speak for a provider's health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from toolkit.store.store import Store

_HEADROOM: Final = """
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
    """Limits, what remains and when it resets, by provider, from its newest answer of a week.

    `..._reset_..._s` counts seconds from `seen_at`, UTC; providers that never said are left out.
    """
    return {row.pop("provider"): row for row in store.rows(_HEADROOM)}
