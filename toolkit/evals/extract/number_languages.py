"""Whole numbers in German, French, Spanish, Italian, Portuguese, Chinese and Japanese words.

For the European languages every number from 0 to 9,999 is spelled out once, in each usual way, and
a phrase is a number only if it is one of these spellings as a whole: "deux trois" is unreadable,
not guessed. Words such as "sei", "once" or 一 mean other things in other places, so a short one
counts only where the text itself is in that language, or is nothing but the number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import regex

MOST: Final = 9_999
"""The largest number that is spelled out for the European languages."""

_GERMAN: Final = (
    *("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn"),
    *("elf", "zwölf", "dreizehn", "vierzehn", "fünfzehn", "sechzehn", "siebzehn", "achtzehn"),
    "neunzehn",
)
_GERMAN_TENS: Final = (
    *("zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"),
)
_FRENCH: Final = (
    *("zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix"),
    *("onze", "douze", "treize", "quatorze", "quinze", "seize", "dix sept", "dix huit"),
    "dix neuf",
)
_FRENCH_TENS: Final = ("vingt", "trente", "quarante", "cinquante", "soixante")
_SPANISH: Final = (
    *("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez"),
    *("once", "doce", "trece", "catorce", "quince", "dieciséis", "diecisiete", "dieciocho"),
    *("diecinueve", "veinte", "veintiuno", "veintidós", "veintitrés", "veinticuatro"),
    *("veinticinco", "veintiséis", "veintisiete", "veintiocho", "veintinueve"),
)
_SPANISH_TENS: Final = (
    *("treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa"),
)
_SPANISH_HUNDREDS: Final = (
    *("ciento", "doscientos", "trescientos", "cuatrocientos", "quinientos", "seiscientos"),
    *("setecientos", "ochocientos", "novecientos"),
)
_ITALIAN: Final = (
    *("zero", "uno", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove", "dieci"),
    *("undici", "dodici", "tredici", "quattordici", "quindici", "sedici", "diciassette"),
    *("diciotto", "diciannove"),
)
_ITALIAN_TENS: Final = (
    *("venti", "trenta", "quaranta", "cinquanta", "sessanta", "settanta", "ottanta", "novanta"),
)
_PORTUGUESE: Final = (
    *("zero", "um", "dois", "três", "quatro", "cinco", "seis", "sete", "oito", "nove", "dez"),
    *("onze", "doze", "treze", "catorze", "quinze", "dezesseis", "dezessete", "dezoito"),
    "dezenove",
)
_PORTUGUESE_TENS: Final = (
    *("vinte", "trinta", "quarenta", "cinquenta", "sessenta", "setenta", "oitenta", "noventa"),
)
_PORTUGUESE_HUNDREDS: Final = (
    *("cento", "duzentos", "trezentos", "quatrocentos", "quinhentos", "seiscentos"),
    *("setecentos", "oitocentos", "novecentos"),
)


def _german(number: int) -> str:
    if number >= 1000:
        count, rest = divmod(number, 1000)
        head = ("ein" if count == 1 else _german(count)) + "tausend"
        return head + (_german(rest) if rest else "")
    if number >= 100:
        count, rest = divmod(number, 100)
        head = ("ein" if count == 1 else _GERMAN[count]) + "hundert"
        return head + (_german(rest) if rest else "")
    if number < len(_GERMAN):
        return _GERMAN[number]
    tens, unit = divmod(number, 10)
    if not unit:
        return _GERMAN_TENS[tens - 2]
    return ("ein" if unit == 1 else _GERMAN[unit]) + "und" + _GERMAN_TENS[tens - 2]


def _french(number: int) -> str:
    if number >= 1000:
        count, rest = divmod(number, 1000)
        head = "mille" if count == 1 else f"{_french(count)} mille"
        return f"{head} {_french(rest)}" if rest else head
    if number >= 100:
        count, rest = divmod(number, 100)
        head = "cent" if count == 1 else f"{_FRENCH[count]} cent"
        return f"{head} {_french(rest)}" if rest else head
    if number < len(_FRENCH):
        return _FRENCH[number]
    tens, unit = divmod(number, 10)
    if tens in (7, 9):  # soixante-douze, quatre-vingt-douze
        head = "soixante" if tens == 7 else "quatre vingt"
        joint = " et " if number == 71 else " "
        return f"{head}{joint}{_FRENCH[10 + unit]}"
    head = "quatre vingt" if tens == 8 else _FRENCH_TENS[tens - 2]
    if not unit:
        return head
    return f"{head} et un" if unit == 1 and tens != 8 else f"{head} {_FRENCH[unit]}"


def _spanish(number: int) -> str:
    if number >= 1000:
        count, rest = divmod(number, 1000)
        head = "mil" if count == 1 else f"{_SPANISH[count]} mil"
        return f"{head} {_spanish(rest)}" if rest else head
    if number >= 100:
        count, rest = divmod(number, 100)
        if number == 100:
            return "cien"
        head = _SPANISH_HUNDREDS[count - 1]
        return f"{head} {_spanish(rest)}" if rest else head
    if number < len(_SPANISH):
        return _SPANISH[number]
    tens, unit = divmod(number, 10)
    head = _SPANISH_TENS[tens - 3]
    return f"{head} y {_SPANISH[unit]}" if unit else head


def _italian(number: int) -> str:
    if number >= 1000:
        count, rest = divmod(number, 1000)
        head = "mille" if count == 1 else f"{_italian(count)}mila"
        return head + (_italian(rest) if rest else "")
    if number >= 100:
        count, rest = divmod(number, 100)
        head = "cento" if count == 1 else f"{_ITALIAN[count]}cento"
        return head + (_italian(rest) if rest else "")
    if number < len(_ITALIAN):
        return _ITALIAN[number]
    tens, unit = divmod(number, 10)
    head = _ITALIAN_TENS[tens - 2]
    return head[: -1 if unit in (1, 8) else None] + (_ITALIAN[unit] if unit else "")


def _portuguese(number: int) -> str:
    if number >= 1000:
        count, rest = divmod(number, 1000)
        head = "mil" if count == 1 else f"{_PORTUGUESE[count]} mil"
        if not rest:
            return head
        joint = " e " if rest < 100 or rest % 100 == 0 else " "
        return f"{head}{joint}{_portuguese(rest)}"
    if number >= 100:
        count, rest = divmod(number, 100)
        if number == 100:
            return "cem"
        head = _PORTUGUESE_HUNDREDS[count - 1]
        return f"{head} e {_portuguese(rest)}" if rest else head
    if number < len(_PORTUGUESE):
        return _PORTUGUESE[number]
    tens, unit = divmod(number, 10)
    head = _PORTUGUESE_TENS[tens - 2]
    return f"{head} e {_PORTUGUESE[unit]}" if unit else head


@dataclass(frozen=True, slots=True)
class _Language:
    """One language.

    Attributes:
        spell: how a number is spelled.
        evidence: words that show that a text is in this language.
        ambiguous: number words that are articles, verbs or words of English as well.
    """

    spell: Callable[[int], str]
    evidence: regex.Pattern[str]
    ambiguous: frozenset[str]


def _evidence(words: str) -> regex.Pattern[str]:
    return regex.compile(rf"(?<!\w)(?:{words})(?!\w)", regex.I)


_LANGUAGES: Final = (
    _Language(
        _german,
        _evidence("antwort|ergebnis|lösung|ist|sind|das|der|und|beträgt|ergibt|lautet|insgesamt"),
        frozenset({"ein", "eins", "null", "elf"}),
    ),
    _Language(
        _french,
        _evidence("réponse|résultat|est|sont|donc|égale?|total de|il y a|au total|cela fait"),
        frozenset({"un", "cent"}),
    ),
    _Language(
        _spanish,
        _evidence("respuesta|resultado|es|por lo tanto|igual a|en total|la suma"),
        frozenset({"uno", "un", "once"}),
    ),
    _Language(
        _italian,
        _evidence("risposta|risultato|è|sono|quindi|dunque|uguale|ci sono|in totale"),
        frozenset({"uno", "un", "due", "sei"}),
    ),
    _Language(
        _portuguese,
        _evidence("resposta|resultado|é|são|portanto|igual a|há|no total"),
        frozenset({"um"}),
    ),
)
_ACCENTS: Final = str.maketrans("áàâéèêíìîóòôúùûçñ", "aaaeeeiiiooouuucn")
_WORDS: Final = regex.compile(r"\p{L}+")
_BETWEEN: Final = regex.compile(r"[\s\u00a0-]+")
_JOIN: Final = regex.compile(
    r"\s*(?:[-–/+*×,]|oder|und|bis|mal|plus|minus|ou|et|fois|moins|o|y|por|más|menos|e|per|più|"
    r"meno|vezes|mais|sobre|su|sur|von|à|a)\s*",
    regex.I,
)
_MINUS: Final = regex.compile(r"(?<!\w)(?:minus|moins|menos|meno)\s+$", regex.I)


def _plain(spelling: str) -> str:
    """A spelling without accents and case; ß as ss, and ae for ä stays apart."""
    return spelling.lower().replace("ß", "ss").translate(_ACCENTS)


def _variants(spelling: str) -> Iterator[str]:
    """The usual ways to write a spelling."""
    plain = _plain(spelling)
    yield plain
    if "ü" in plain or "ö" in plain:
        yield plain.replace("ü", "ue").replace("ö", "oe")
        yield plain.replace("ü", "u").replace("ö", "o")
    if plain.startswith(("eintausend", "einhundert")):
        yield plain.removeprefix("ein")
    for single, plural in (("cent", "cents"), ("vingt", "vingts")):
        if plain.endswith(f" {single}"):
            yield plain + plural[-1]
    for brazilian, european in (
        ("dezesseis", "dezasseis"),
        ("dezessete", "dezassete"),
        ("dezenove", "dezanove"),
        ("quatorze", "catorze"),
    ):
        if brazilian in plain:
            yield plain.replace(brazilian, european)
    if "catorze" in plain:
        yield plain.replace("catorze", "quatorze")
    if plain.startswith("veinti"):
        yield plain.replace("veinti", "veinte y ", 1)


@cache
def _spellings(language: _Language) -> tuple[Mapping[str, int], frozenset[str]]:
    """Every spelling with its number, and the words that occur in spellings."""
    found: dict[str, int] = {}
    for number in range(MOST + 1):
        for variant in _variants(language.spell(number)):
            found.setdefault(variant, number)
    return found, frozenset(word for spelling in found for word in spelling.split())


@dataclass(frozen=True, slots=True)
class SpelledNumber:
    """A whole number in words.

    Attributes:
        value: the number.
        start, end: its position.
    """

    value: int
    start: int
    end: int


def find_spelled_number(text: str, *, take: str = "last") -> SpelledNumber | None:
    """The first or last number in words; None without one, or where it cannot be told which."""
    for language in _LANGUAGES:
        found = _find_in(text, language, take)
        if found is not None:
            return found
    return _find_east_asian(text, take)


def _find_in(text: str, language: _Language, take: str) -> SpelledNumber | None:
    spellings, words = _spellings(language)
    runs: list[SpelledNumber | None] = []
    ends: list[tuple[int, int]] = []
    is_of_language = language.evidence.search(text) is not None
    for start, end in _runs(text, words):
        written = _BETWEEN.sub(" ", _plain(text[start:end]))
        value = spellings.get(written)
        is_alone = not _WORDS.search(text, 0, start) and not _WORDS.search(text, end)
        if not (is_of_language or is_alone):
            continue
        if written in language.ambiguous and not (is_alone or _is_stated(text, start, end)):
            continue
        is_negative = _MINUS.search(text, 0, start) is not None
        signed = None if value is None else -value if is_negative else value
        runs.append(None if signed is None else SpelledNumber(signed, start, end))
        ends.append((start, end))
    if not runs:
        return None
    at = 0 if take == "first" else len(runs) - 1
    neighbours = [(ends[i][1], ends[i + 1][0]) for i in (at - 1, at) if 0 <= i < len(ends) - 1]
    if any(_JOIN.fullmatch(text, left, right) for left, right in neighbours):
        return None
    return runs[at]


_STATED: Final = regex.compile(r"(?:[:=]|(?<!\w)(?:ist|est|es|è|é))\s*[*_`\"'«„“]*\s*$", regex.I)
_ENDS: Final = regex.compile(r"[\s*_`\"'»“”.!]*$")


def _is_stated(text: str, start: int, end: int) -> bool:
    """Whether a word is where an answer is stated: after a colon or a verb, at the end."""
    return bool(_STATED.search(text, 0, start) and _ENDS.match(text, end))


def _runs(text: str, words: frozenset[str]) -> Iterator[tuple[int, int]]:
    """Longest runs of number words; a connecting word counts only between two of them."""
    start = end = -1
    pending = -1
    for match in _WORDS.finditer(text):
        word = _plain(match[0])
        is_next = start >= 0 and _BETWEEN.fullmatch(
            text, pending if pending >= 0 else end, match.start()
        )
        if word in ("e", "y", "et"):
            if is_next and pending < 0:
                pending = match.end()
                continue
        elif word in words:
            if is_next:
                end, pending = match.end(), -1
                continue
            if start >= 0:
                yield start, end
            start, end, pending = match.start(), match.end(), -1
            continue
        if start >= 0:
            yield start, end
        start = end = pending = -1
    if start >= 0:
        yield start, end


_DIGITS: Final = {
    **{character: value for value, character in enumerate("零一二三四五六七八九")},
    **{"〇": 0, "两": 2, "兩": 2, "壱": 1, "弐": 2, "参": 3},
}
_PLACES: Final = {"十": 10, "百": 100, "千": 1000}
_MYRIADS: Final = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_EAST_ASIAN: Final = regex.compile(
    r"(?P<sign>负|負|マイナス)?(?P<number>[零〇一二三四五六七八九两兩壱弐参十百千万萬亿億]+)"
)
# 一 and 十 are parts of many words (一个, 十分), so they count only as the whole answer, and other
# numbers only where one is stated.
_BEFORE: Final = regex.compile(
    r"(?:^|[:：=＝,，。\n]|是|为|為|等于|等於|共|有|得|は|が|約|约)\s*[「“\"*]*$"
)
_ENDS_ANSWER: Final = regex.compile(r"[」”\"*]*\s*(?:$|[。．.!！、\n）)]|です|でした|だ)")
_AFTER: Final = regex.compile(
    r"[」”\"*]*\s*(?:$|[。．.!！,，、\n）)]|です|でした|だ|になります|となり|个|個|元|円|日元|人|天|年|岁|歳|"
    r"度|米|公里|公斤|只|本|枚|つ|点|分|倍|次|回|页|ページ|小时|時間|分钟|秒|名|箱|块|塊|颗|辆|台)"
)


def _find_east_asian(text: str, take: str) -> SpelledNumber | None:
    found = [
        SpelledNumber(-value if match["sign"] else value, match.start(), match.end())
        for match in _EAST_ASIAN.finditer(text)
        if _BEFORE.search(text, 0, match.start())
        and (_ENDS_ANSWER if match["number"] in "一十" else _AFTER).match(text, match.end())
        and (value := _read_east_asian(match["number"])) is not None
    ]
    if not found:
        return None
    return found[0 if take == "first" else -1]


def _read_east_asian(written: str) -> int | None:
    """The number of Chinese or Japanese characters; None where they follow no rule."""
    if all(character in _DIGITS for character in written):
        return int("".join(str(_DIGITS[character]) for character in written))
    total, section, digit = 0, 0, -1
    last_place, last_myriad = 10**4, 10**9
    for character in written:
        if character in _DIGITS:
            if digit > 0:
                return None
            digit = _DIGITS[character]
        elif character in _PLACES:
            place = _PLACES[character]
            if place >= last_place or digit == 0:
                return None
            section, digit, last_place = section + max(digit, 1) * place, -1, place
        else:
            myriad = _MYRIADS[character]
            part = section + max(digit, 0)
            if myriad >= last_myriad or not part:
                return None
            total, section, digit = total + part * myriad, 0, -1
            last_place, last_myriad = 10**4, myriad
    # 三百五 is 350 to some and 305 to others.
    if digit > 0 and last_place > 10 and written[-2:-1] in (*_PLACES, *_MYRIADS):
        return None
    return total + section + max(digit, 0)
