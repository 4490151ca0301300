"""Shadow traffic: copies of requests to a second model, to evaluate it on real questions.

A copy is sent when the answer is there, or has begun, so that it never delays one. Its row has
the origin `shadow` and the request that it copies in the tag `shadow_of`; it costs what it costs,
and is not charged to the client's token.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from toolkit.api.formats.model_request import ModelRequest
from toolkit.errors import ToolkitError
from toolkit.secret import redact

_MAX_RUNNING: Final = 8
_log = logging.getLogger("toolkit")


class ShadowTraffic:
    """Sends copies of requests to the models that the settings name.

    Args:
        models: the second model by the name that clients call.
        share: which share of the requests is copied, 0 to 1.
        complete: calls a model, as `Toolkit.acomplete`.
        rng: chance, so that tests can control it.
    """

    def __init__(
        self,
        models: Mapping[str, str],
        share: float,
        complete: Callable[..., Awaitable[Any]],
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._models, self._share, self._complete, self._rng = models, share, complete, rng
        self._running: set[asyncio.Task[None]] = set()
        self.skipped: int = 0

    def send(self, request: ModelRequest, request_id: str) -> None:
        """Copy a request that has been answered, where its model has a second one.

        While too many copies are under way, no more are made; `skipped` counts those.
        """
        model = self._models.get(request.model)
        if model is None or self._rng() >= self._share:
            return
        if len(self._running) >= _MAX_RUNNING:
            self.skipped += 1
            return
        task = asyncio.ensure_future(self._copy(model, request, request_id))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _copy(self, model: str, request: ModelRequest, request_id: str) -> None:
        try:
            await self._complete(
                model,
                request.messages,
                **request.params,
                origin="shadow",
                origin_id=request_id,
                on_unsupported="drop",
                tags={**request.labels, "shadow_of": request_id},
            )
        except ToolkitError as error:  # its row says the same, where one was sent
            _log.warning("shadow request to %s failed: %s", model, redact(error.message))

    async def aclose(self) -> None:
        """Cancel the copies under way; their rows say `cancelled`."""
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
