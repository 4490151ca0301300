"""Queries over boards, their panes and votes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from toolkit.store.queries.query import Query, Source

if TYPE_CHECKING:
    from toolkit.store.store import Store

Row = dict[str, Any]

_BOARDS: Final = """
    SELECT b.board_id, b.created_at, b.title, b.is_blind, b.messages,
           (SELECT count(*) FROM panes p WHERE p.board_id = b.board_id) AS panes,
           (SELECT list(DISTINCT p.model ORDER BY p.model) FROM panes p
            WHERE p.board_id = b.board_id) AS models,
           (SELECT count(*) - 2 * count(*) FILTER (outcome = 'retracted')
            FROM votes v WHERE v.board_id = b.board_id) AS votes
    FROM boards b
    ORDER BY b.created_at DESC, b.board_id DESC
    LIMIT ?"""
_BOARD: Final = """
    SELECT * FROM boards
    WHERE starts_with(board_id, ?) OR ends_with(board_id, ?)
    ORDER BY created_at DESC LIMIT 5"""
# A pane that was retried has several rows; the newest one is on the board.
_PANES: Final = """
    SELECT p.pane_id, p.position, p.label, p.model, p.params, p.state, p.error_code, p.call_id,
           c.output_text, c.error_message, c.ttft_ms, c.output_tps, c.output_tokens, c.cost_usd,
           c.reasoning_text, c.ttfo_ms, c.duration_ms, c.messages, c.http_status
    FROM panes p LEFT JOIN calls c ON c.call_id = p.call_id
    WHERE p.board_id = ?
    QUALIFY row_number() OVER (PARTITION BY p.position ORDER BY p.ended_at DESC) = 1
    ORDER BY p.position"""

# Rows are never changed: a vote that was undone is named in the note of a second row.
_BRANCHES: Final = """
    SELECT board_id, created_at, messages FROM boards
    WHERE tags['branch_of'] = ? ORDER BY created_at, board_id LIMIT ?"""

_VOTES: Final = """
    SELECT * FROM votes
    WHERE outcome <> 'retracted'
      AND vote_id NOT IN (SELECT note FROM votes WHERE outcome = 'retracted' AND note IS NOT NULL)
    ORDER BY voted_at, vote_id"""

_VOTES_WITH_LENGTHS: Final = """
    SELECT v.*, length(a.output_text) AS chars_a, length(b.output_text) AS chars_b
    FROM votes v
    LEFT JOIN panes pa ON pa.pane_id = v.pane_a LEFT JOIN calls a ON a.call_id = pa.call_id
    LEFT JOIN panes pb ON pb.pane_id = v.pane_b LEFT JOIN calls b ON b.call_id = pb.call_id
    WHERE v.outcome <> 'retracted'
      AND v.vote_id NOT IN (SELECT note FROM votes WHERE outcome = 'retracted' AND note IS NOT NULL)
    ORDER BY v.voted_at, v.vote_id"""
_BOARD_MODELS: Final = """
    SELECT model, max(ended_at) AS newest FROM panes
    WHERE state = 'done' AND ended_at >= now() - INTERVAL 90 DAY
    GROUP BY model ORDER BY newest DESC, model LIMIT ?"""
_JUDGED: Final = """
    SELECT v.vote_id, v.board_id, v.voted_at, v.outcome, v.model_a, v.model_b, v.voter, v.note,
           a.messages AS messages_a, b.messages AS messages_b,
           a.output_text AS text_a, b.output_text AS text_b
    FROM votes v
    LEFT JOIN panes pa ON pa.pane_id = v.pane_a LEFT JOIN calls a ON a.call_id = pa.call_id
    LEFT JOIN panes pb ON pb.pane_id = v.pane_b LEFT JOIN calls b ON b.call_id = pb.call_id
    WHERE v.outcome <> 'retracted'
      AND v.vote_id NOT IN (SELECT note FROM votes WHERE outcome = 'retracted' AND note IS NOT NULL)
    ORDER BY v.voted_at, v.vote_id"""
_CHUNK_TIMES: Final = """
    SELECT p.position, c.ttft_ms, c.duration_ms, c.chunk_offsets_us, c.output_text,
           c.reasoning_text
    FROM panes p JOIN calls c ON c.call_id = p.call_id
    WHERE p.board_id = ?
    QUALIFY row_number() OVER (PARTITION BY p.position ORDER BY p.ended_at DESC) = 1
    ORDER BY p.position"""


def board_rows(store: Store, limit: int) -> list[Row]:
    """Boards, newest first, with their models and how many panes and votes they have."""
    return store.rows(_BOARDS, [limit])


def find_boards(store: Store, part_of_id: str) -> list[Row]:
    """At most five boards whose id begins or ends so."""
    return store.rows(_BOARD, [part_of_id, part_of_id])


def pane_rows(store: Store, board_id: str) -> list[Row]:
    """The panes of a board in their order, with what their calls answered and measured."""
    return store.rows(_PANES, [board_id])


def branch_rows(store: Store, board_id: str, limit: int) -> list[Row]:
    """The boards that continue a conversation of this one, oldest first."""
    return store.rows(_BRANCHES, [board_id, limit])


def counted_votes() -> Query:
    """All votes that count, oldest first; one that was undone is left out."""
    return Query(_VOTES)


def vote_rows(store: Store) -> list[Row]:
    """The rows of `counted_votes`."""
    return store.rows(_VOTES)


def vote_rows_with_lengths(store: Store) -> list[Row]:
    """All votes that count with the lengths of both answers in characters, oldest first."""
    return store.rows(_VOTES_WITH_LENGTHS)


def board_models(store: Store, limit: int) -> list[str]:
    """The models that answered on boards of the last 90 days, the newest first."""
    return [str(row["model"]) for row in store.rows(_BOARD_MODELS, [limit])]


def judged_rows(store: Store) -> list[Row]:
    """All votes that count with the question and both answers, oldest first."""
    return store.rows(_JUDGED)


def chunk_time_rows(store: Store, board_id: str) -> list[Row]:
    """When the pieces of each pane's answer arrived, by position on the board."""
    return store.rows(_CHUNK_TIMES, [board_id])


def pane_figures(source: Source, board_ids: list[str]) -> list[dict[str, Any]]:
    """What the store holds of these boards, one row per pane position."""
    marks = ", ".join("?" for _ in board_ids)
    sql = f"""
        SELECT p.position,
               any_value(p.model) AS model,
               any_value(p.params) AS params,
               count(*) AS asked,
               count(*) FILTER (p.state = 'done') AS answers,
               count(*) FILTER (p.state = 'failed') AS errors,
               count(*) FILTER (p.state = 'stopped') AS stopped,
               quantile_cont(c.ttft_ms, 0.5) FILTER (c.status = 'ok') AS ttft_p50_ms,
               quantile_cont(c.tpot_ms, 0.5) FILTER (c.status = 'ok') AS tpot_p50_ms,
               quantile_cont(c.output_tps, 0.5) FILTER (c.status = 'ok') AS output_tps_p50,
               sum(c.input_tokens)::BIGINT AS input_tokens,
               sum(c.output_tokens)::BIGINT AS output_tokens,
               sum(c.cost_usd) AS cost_usd,
               count(*) FILTER (c.status = 'ok' AND c.cost_usd IS NULL) AS unpriced
        FROM panes p LEFT JOIN calls c ON c.call_id = p.call_id
        WHERE p.board_id IN ({marks})
        GROUP BY p.position ORDER BY p.position
    """  # noqa: S608 - placeholders only
    return source.rows(sql, board_ids)


def count_rows(source: Source, board_ids: list[str]) -> dict[str, int]:
    """How many rows of `calls`, `boards` and `panes` these boards left."""
    marks = ", ".join("?" for _ in board_ids)
    sql = f"""
        SELECT (SELECT count(*) FROM calls WHERE origin_id IN ({marks})) AS calls,
               (SELECT count(*) FROM boards WHERE board_id IN ({marks})) AS boards,
               (SELECT count(*) FROM panes WHERE board_id IN ({marks})) AS panes
    """  # noqa: S608 - placeholders only
    return {name: int(n) for name, n in source.rows(sql, board_ids * 3)[0].items()}
