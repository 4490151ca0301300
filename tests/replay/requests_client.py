"""One request through `requests`, in a module that a child process imports quickly."""

from __future__ import annotations

from typing import Any

import requests


def body(number: int) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": f"question {number}"}]}


def by_requests(base: str, number: int) -> int:
    return requests.post(f"{base}/chat/completions", json=body(number), timeout=30).status_code
