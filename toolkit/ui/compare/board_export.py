"""A board as a file or as code: Markdown, JSON, HTML, a notebook, a link."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from html import escape
from typing import Any

from toolkit.charts.states import pane_state
from toolkit.compare.board_view import pane_footer, pane_names
from toolkit.compare.new_board import Board
from toolkit.compare.pane import Pane
from toolkit.ui.compare.saved_board import prompt_text


def as_markdown(board: Board) -> str:
    """The question and every answer under its model, with its numbers."""
    parts = [
        f"# {prompt_text(board.prompt)}",
        f"Board {board.board_id}, {board.created_at:%Y-%m-%d}",
    ]
    for pane, name in zip(board.panes, pane_names(board.panes), strict=True):
        parts += [f"## {pane.index + 1}. {name}", _text(pane), f"*{pane_footer(pane)}*"]
    return "\n\n".join(parts) + "\n"


def as_json(board: Board) -> str:
    """Everything of the board as JSON."""
    value = {
        "board_id": board.board_id,
        "created_at": board.created_at,
        "prompt": board.prompt,
        "panes": [_pane(pane) for pane in board.panes],
    }
    return json.dumps(value, indent=1, ensure_ascii=False, default=_jsonable)


def as_html(board: Board) -> str:
    """A page that needs nothing else; every answer is escaped text."""
    cells = "".join(
        f"<section><h2>{pane.index + 1}. {escape(name)}</h2><pre>{escape(_text(pane))}</pre>"
        f"<p>{escape(pane_footer(pane))}</p></section>"
        for pane, name in zip(board.panes, pane_names(board.panes), strict=True)
    )
    style = (
        "body{font:15px/1.5 sans-serif;margin:2rem;max-width:90rem}"
        "main{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr))}"
        "section{border:1px solid #999;border-radius:6px;padding:1rem}"
        "pre{white-space:pre-wrap;font:inherit}"
    )
    title = escape(prompt_text(board.prompt))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{style}</style><h1>{title}</h1><main>{cells}</main></html>"
    )


def board_code(board: Board) -> str:
    """Python that asks the same board again from a notebook."""
    models = [pane.model for pane in board.panes]
    panes = [dict(pane.params) for pane in board.panes]
    own = f",\n    panes={panes!r}" if any(panes) else ""
    return (
        "import toolkit as tk\n\n"
        f"board = tk.compare(\n    {board.prompt!r},\n    {models!r}{own},\n)\n"
        "board.figure()\nboard.frame()\n\n"
        f"# the calls of the board that was shown:\ntk.calls(origin_id={board.board_id!r})"
    )


def _text(pane: Pane) -> str:
    if pane.error is not None:
        return f"{pane_state(pane.state).label}: {pane.error.message}"
    return pane.text or pane_state(pane.state).label


def _pane(pane: Pane) -> dict[str, Any]:
    return {
        "model": pane.model,
        "params": dict(pane.params),
        "state": pane.state,
        "text": pane.text,
        "reasoning": pane.reasoning,
        "error_code": pane.error.code if pane.error else None,
        "ttft_ms": pane.ttft_ms,
        "output_tps": pane.output_tps,
        "output_tokens": pane.output_tokens,
        "duration_ms": pane.duration_ms,
        "cost_usd": pane.cost_usd,
    }


def _jsonable(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else repr(value)
