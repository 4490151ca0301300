"""curl, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess

from tests.api.clients.asking import chosen, fails, tell

URL, TOKEN = os.environ["GATEWAY_URL"], os.environ["GATEWAY_TOKEN"]


def curl(path, body=None, *more):
    command = ["curl", "-sS", "--fail-with-body", "-H", f"Authorization: Bearer {TOKEN}", *more]
    if body is not None:
        command += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    done = subprocess.run([*command, URL + path], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(done.stdout)
    return done.stdout


def ask(model=None, **options):
    body = {"model": model or chosen(), "messages": [{"role": "user", "content": "hi"}], **options}
    return curl("/chat/completions", body, "-N")


def whole():
    answer = json.loads(ask())
    return [answer["choices"][0]["message"]["content"], answer["usage"]["completion_tokens"]]


def events(text):
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def stream():
    chunks = events(ask(stream=True, stream_options={"include_usage": True}))
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    return [text, chunks[-1]["usage"]["completion_tokens"]]


def broken():
    text = ask(stream=True)
    if "[DONE]" not in text:
        raise RuntimeError(events(text)[-1]["error"])
    return text


tell(
    {
        "whole": whole,
        "stream": stream,
        "embeddings": lambda: json.loads(
            curl("/embeddings", {"model": "mock/emb", "input": "one"})
        )["data"][0]["embedding"],
        "models": lambda: "mock/m" in [m["id"] for m in json.loads(curl("/models"))["data"]],
        "error": lambda: fails(lambda: ask("nobody/m")),
        "broken stream": lambda: fails(broken),
    }
)
