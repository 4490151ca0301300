"""Reading one item of a listing without trusting it: an odd value leaves a flag, never a crash."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from toolkit.catalog.listings.listed_model import ListedModel
from toolkit.pricing.price import TOKEN_CLASSES, Rate
from toolkit.records import PriceClass

PER_TOKEN: Final = Decimal(1_000_000)
PER_MILLION: Final = Decimal(1)

# A price outside this span, in USD per million tokens, is a mistaken unit: the cheapest
# embedding costs about 0.002, the dearest reasoning model 600.
_LOWEST_USD: Final = Decimal("0.0004")
_HIGHEST_USD: Final = Decimal(10_000)

_DEAREST_PIECE_USD: Final = Decimal(10**9)
_MOST_DIGITS: Final = 15
_PRICE_STEP: Final = Decimal("0.000000001")

_MOST_TOKENS: Final = 10**12
_LONG_ID: Final = 512
_LONGEST_TEXT: Final = 20_000
_MILLISECONDS_FROM: Final = 10**11
_FIRST_YEAR: Final = 1990
_LAST_YEAR: Final = 2200
_UNSTORABLE: Final = re.compile("[\ud800-\udfff\x00]")
_WHOLE_NUMBER: Final = re.compile(r"\s*\+?\d{1,18}(?:\.0+)?\s*")


class Item:
    """One item of a listing, read by path (`"top_provider.context_length"`).

    Readers return None for what is missing or unreadable; the latter leaves a flag.
    """

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        self.flags: list[str] = []

    def flag(self, field: str, problem: str) -> None:
        """Note once that `field` had `problem`."""
        word = f"{field}:{problem}"
        if word not in self.flags:
            self.flags.append(word)

    def at(self, path: str) -> Any:
        """The value at a dotted path, or None."""
        if "." not in path:
            return self.raw.get(path)
        value: Any = self.raw
        for name in path.split("."):
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    def text(self, *paths: str) -> str | None:
        """The first non-empty text among `paths`, fit to be stored."""
        for path in paths:
            value = self.at(path)
            if isinstance(value, str) and value.strip():
                return clean(value)[:_LONGEST_TEXT]
        return None

    def words(self, *paths: str) -> tuple[str, ...]:
        """The first non-empty list of words among `paths`, lower case, each once."""
        for path in paths:
            value = self.at(path)
            if isinstance(value, list) and value:
                words = [clean(word).strip().lower() for word in value if isinstance(word, str)]
                return tuple(dict.fromkeys(word for word in words if word))
        return ()

    def truth(self, path: str) -> bool | None:
        """A truth value, or None; Anthropic wraps it as `{"supported": true}`."""
        value = self.at(path)
        if isinstance(value, dict):
            value = value.get("supported")
        return value if isinstance(value, bool) else None

    def count(self, field: str, *paths: str) -> int | None:
        """The first usable whole number above zero among `paths` (tokens, bytes)."""
        for path in paths:
            value = self.at(path)
            if value is None or value == "":
                continue
            number = self._whole(field, value)
            if number is not None:
                return number
        return None

    def _whole(self, field: str, value: Any) -> int | None:
        if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
            self.flag(field, "number_as_text")
            value = float(value) if "." in value else int(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.flag(field, "unreadable")
            return None
        if isinstance(value, float) and not (math.isfinite(value) and value.is_integer()):
            self.flag(field, "unreadable")
            return None
        if not 0 < value <= _MOST_TOKENS:
            self.flag(field, "zero" if value == 0 else "out_of_range")
            return None
        return int(value)

    def moment(self, field: str, *paths: str) -> datetime | None:
        """The first usable time among `paths`: epoch seconds or milliseconds, or ISO text; UTC.

        Many listings write the epoch for "unknown".
        """
        for path in paths:
            value = self.at(path)
            if value is None or value in ("", 0):
                continue
            moment = self._moment(field, value)
            if moment is not None:
                return moment if moment.timestamp() > 0 else None
        return None

    def _moment(self, field: str, value: Any) -> datetime | None:
        try:
            if isinstance(value, str) and not re.fullmatch(r"\d{9,14}", value):
                moment = datetime.fromisoformat(value.strip())
                moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
                moment = moment.astimezone(UTC)
            elif isinstance(value, bool):
                raise ValueError
            else:
                seconds = float(value)
                if seconds > _MILLISECONDS_FROM:
                    self.flag(field, "milliseconds")
                    seconds /= 1000
                moment = datetime.fromtimestamp(seconds, UTC)
        except (ValueError, TypeError, OverflowError, OSError):
            self.flag(field, "unreadable")
            return None
        if moment.timestamp() and not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
            self.flag(field, "out_of_range")
            return None
        return moment

    def day(self, field: str, *paths: str) -> date | None:
        """The UTC day of `moment`."""
        moment = self.moment(field, *paths)
        return None if moment is None else moment.date()

    def price(
        self,
        token_class: PriceClass,
        path: str,
        unit: Decimal,
        *,
        tier: str = "standard",
        above_tokens: int = 0,
    ) -> list[Rate]:
        """The price at `path` as a list of none or one.

        `unit` turns the written number into USD per million. Zero is a price for input and
        output (the model is free); for any other class it means "not charged apart".
        """
        value = self.at(path)
        if value is None or value == "":
            return []
        usd = self._usd(f"price_{token_class}", value, unit, token_class in TOKEN_CLASSES)
        if usd is None or (usd == 0 and token_class not in ("input", "output")):
            return []
        price = Rate(
            token_class=token_class, usd_per_million=usd, tier=tier, above_tokens=above_tokens
        )
        return [price]

    def _usd(self, field: str, value: Any, unit: Decimal, counts_tokens: bool) -> Decimal | None:
        try:
            if isinstance(value, bool):
                raise InvalidOperation
            written = Decimal(str(value).strip().removeprefix("$"))
        except InvalidOperation:
            self.flag(field, "unreadable")
            return None
        if not written.is_finite() or abs(written.adjusted()) > _MOST_DIGITS:
            self.flag(field, "unreadable")
            return None
        if written < 0:
            # OpenRouter writes -1 for "depends on the model that it is routed to".
            self.flag(field, "varies" if written == -1 else "negative")
            return None
        usd = written * unit
        highest = _HIGHEST_USD if counts_tokens else _DEAREST_PIECE_USD
        if usd != 0 and not _LOWEST_USD <= usd <= highest:
            self.flag(field, "doubtful_unit")
            return None
        return plain(usd.quantize(_PRICE_STEP))

    def model(self, model_id: object, **fields: Any) -> ListedModel | None:
        """The finished record, or None where there is no id to call the model by."""
        if isinstance(model_id, int) and not isinstance(model_id, bool):
            self.flag("id", "not_text")
            model_id = str(model_id)
        if not isinstance(model_id, str) or not model_id.strip():
            return None
        name = clean(model_id)
        if name != model_id:
            self.flag("id", "characters_replaced")
        self._judge_id(name)
        return ListedModel(model_id=name, flags=tuple(self.flags), raw=self.raw, **fields)

    def _judge_id(self, name: str) -> None:
        if any(char.isspace() for char in name):
            self.flag("id", "spaces")
        if not name.isprintable():
            self.flag("id", "unprintable")
        if not name.isascii():
            self.flag("id", "not_ascii")
        if len(name) > _LONG_ID:
            self.flag("id", "long")


def clean(text: str) -> str:
    """`text` without characters that no UTF-8 store can hold (lone surrogates, NUL)."""
    return _UNSTORABLE.sub("\ufffd", text)


def plain(number: Decimal) -> Decimal:
    """The same number without trailing zeros and without an exponent."""
    number = number.normalize()
    return number.quantize(Decimal(1)) if number == number.to_integral_value() else number


def known(**capabilities: bool | None) -> dict[str, bool]:
    """Return the capabilities that are known."""
    return {name: value for name, value in capabilities.items() if value is not None}
