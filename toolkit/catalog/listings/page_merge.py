"""Models of all pages of one listing, each id once, with what was odd on the way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from toolkit.catalog.dialects import read_item
from toolkit.catalog.listings.listed_model import ListedModel


class Gathering:
    """Models of all pages so far, each id once."""

    def __init__(self) -> None:
        self.by_id: dict[str, ListedModel] = {}
        self.notes: list[str] = []
        self.complete = True
        self.pages = 0

    @property
    def models(self) -> list[ListedModel]:
        """In the order in which the provider named them."""
        return list(self.by_id.values())

    def add(self, items: Iterable[object]) -> int:
        """Read the items of one page; the number of models not seen before."""
        self.pages += 1
        before = len(self.by_id)
        unreadable = 0
        for raw in items:
            model = read_item(raw)
            if model is None:
                unreadable += 1
            elif (seen := self.by_id.get(model.model_id)) is None:
                self.by_id[model.model_id] = model
            elif seen.raw != model.raw:
                self._flag(seen, "id:duplicate_differs")
            else:
                self._flag(seen, "id:duplicate")
        if unreadable:
            self.notes.append(f"items_without_id:{unreadable}")
        return len(self.by_id) - before

    def _flag(self, model: ListedModel, flag: str) -> None:
        if flag not in model.flags:
            self.by_id[model.model_id] = replace(model, flags=(*model.flags, flag))

    def note_missing(self, note: str) -> None:
        """The listing may go on beyond what could be read."""
        self.notes.append(note)
        self.complete = False
