"""The background thread: moves after a pause, tries again after a failure, never blocks an end."""

from __future__ import annotations

import threading
import time

from toolkit.errors import StoreError
from toolkit.store import store as publisher_module
from toolkit.store.store import Publisher


def test_no_thread_before_the_first_record():
    before = threading.active_count()
    Publisher(lambda: None).stop()
    assert threading.active_count() == before


def test_a_burst_is_one_move():
    moved = threading.Event()
    moves: list[float] = []

    def publish() -> None:
        moves.append(time.monotonic())
        moved.set()

    publisher = Publisher(publish)
    for _ in range(50):
        publisher.notice()
    assert moved.wait(10)
    publisher.stop()
    assert len(moves) == 1


def test_many_records_do_not_wait_for_a_pause(monkeypatch):
    monkeypatch.setattr(publisher_module, "_QUIET_S", 60.0)
    monkeypatch.setattr(publisher_module, "_LONGEST_S", 60.0)
    monkeypatch.setattr(publisher_module, "_MANY", 10)
    moved = threading.Event()
    publisher = Publisher(moved.set)
    publisher.notice(10)
    assert moved.wait(10)
    publisher.stop()


def test_a_failed_move_is_tried_again(monkeypatch):
    monkeypatch.setattr(publisher_module, "_RETRY_S", 0.01)
    monkeypatch.setattr(publisher_module, "_QUIET_S", 0.01)
    again = threading.Event()
    tries: list[int] = []

    def publish() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise StoreError("busy")
        again.set()

    publisher = Publisher(publish)
    publisher.notice()
    assert again.wait(10)
    publisher.stop()


def test_stopping_lets_a_running_move_end():
    began, ended = threading.Event(), threading.Event()

    def publish() -> None:
        began.set()
        time.sleep(0.1)
        ended.set()

    publisher = Publisher(publish)
    publisher.notice()
    assert began.wait(10)
    publisher.stop()
    assert ended.is_set()


def test_stopping_does_not_wait_for_ever():
    release = threading.Event()
    publisher = Publisher(lambda: release.wait(30) and None)
    publisher.notice()
    while threading.active_count() < 2:
        time.sleep(0.01)
    began = time.monotonic()
    publisher.stop(wait_s=0.1)
    assert time.monotonic() - began < 10
    release.set()


def test_a_stopped_one_starts_again_with_the_next_record():
    moved = threading.Event()
    publisher = Publisher(moved.set)
    publisher.stop()
    publisher.notice()
    assert moved.wait(10)
    publisher.stop()
