"""The HTTP API: provider management and the OpenAI-compatible gateway."""

from __future__ import annotations

from typing import Final

# The app has pages of its own at /models and /health, so these two are under /v1 only there.
APP_PREFIXES: Final = (
    *("/api", "/v1", "/chat", "/completions", "/responses", "/messages", "/embeddings"),
    "/metrics",
)
