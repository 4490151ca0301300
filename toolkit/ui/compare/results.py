"""What stands under a board that is over: the timeline of all panes and their numbers."""

from __future__ import annotations

import streamlit as st

from toolkit.compare.board_view import pane_names
from toolkit.compare.new_board import Board
from toolkit.compare.pane import Pane
from toolkit.store.queries.app_pages import calls_of_board
from toolkit.ui.compare.panes import state_of
from toolkit.ui.components.chart_block import draw_figure, draw_sources
from toolkit.ui.components.table import Column, draw_table


def draw_results(board: Board) -> None:
    """Timeline on the left, numbers on the right."""
    has_phases = any(pane.attempts or pane.ttft_ms is not None for pane in board.panes)
    left, right = st.columns((44, 56), gap="medium") if has_phases else (None, st.container())
    if left is not None:
        with left:
            figure = board.figure()
            figure.update_layout(height=60 + 34 * len(board.panes) + 60)
            draw_figure(figure, key="compare-timeline")
            query = calls_of_board(board.board_id)
            python = f"import toolkit as tk\n\ntk.calls(origin_id={board.board_id!r})"
            draw_sources(key="compare-timeline", sql=query.text, python=python)
    with right:
        _numbers(board.panes)
        st.page_link(
            "calls.py",
            label="The calls of this board",
            icon=":material/receipt_long:",
            query_params={"board": board.board_id},
        )


def _numbers(panes: tuple[Pane, ...]) -> None:
    replies = [pane.reply for pane in panes]
    given = [reply.usage.input_tokens if reply else None for reply in replies]
    draw_table(
        {
            "#": Column([pane.index + 1 for pane in panes], 34, "number", on_phone=True),
            "Model": Column(pane_names(panes), 190, on_phone=True),
            "State": Column([state_of(pane) for pane in panes], 92, "state"),
            "TTFT ms": Column([pane.ttft_ms for pane in panes], 64, "number", on_phone=True),
            "total ms": Column([pane.duration_ms for pane in panes], 66, "number"),
            "tok/s": Column([pane.output_tps for pane in panes], 50, "number", style="%.0f"),
            "in": Column(given, 46, "number", "Input tokens"),
            "out": Column([pane.output_tokens for pane in panes], 46, "number", "Output tokens"),
            "Cost": Column([pane.cost_usd for pane in panes], 82, "money", on_phone=True),
        },
        key="compare-numbers",
        alt="One row per pane with its numbers",
    )
