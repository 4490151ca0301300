"""litellm itself: imported when it is first needed, with its environment set beforehand.

Importing litellm takes seconds and, left to itself, downloads a price map, reads any `.env`
file nearby and opens sockets of its own. The environment below turns all of that off, and has
to be set before the import.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version as installed_version
from typing import Any, Final

_ENVIRONMENT: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no download of prices at import
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_OFFLINE_MODE": "true",
    "LITELLM_MODE": "PRODUCTION",  # otherwise any .env nearby is loaded into the environment
    "LITELLM_RUST": "0",  # Rust sockets would bypass the transport and the cassettes
    "HF_HUB_OFFLINE": "1",
}


@cache
def load() -> Any:
    """Import litellm with its environment set, its logging quiet and its retries off."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with _without_collector():
        import litellm

    litellm.suppress_debug_info = True
    litellm.disable_streaming_logging = True
    litellm.telemetry = False
    litellm.drop_params = False
    litellm.num_retries = 0
    litellm.REPEATED_STREAMING_CHUNK_LIMIT = 10**9
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Import without garbage collections, and exclude what was imported from later ones.

    litellm is a million objects that live as long as the process. One collection over them
    takes 0.2 s (measured on two slow cores), and during that time no arrival can be stamped.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@cache
def version() -> str:
    """litellm's version, without importing it."""
    return installed_version("litellm")
