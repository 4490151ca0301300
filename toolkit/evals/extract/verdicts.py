"""What a judge decided: points on a scale, or which of two answers is better.

A judge's prose is read tolerantly (bold, LaTeX, JSON, "4 out of 5", "[[A]]"), its decision
strictly: a range, a value off the scale, two winners, two verdict lines that differ, or a refusal
to judge are not a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import regex

from toolkit.evals.extract.embedded_json import (
    NoJson,
    SeveralDecisions,
    extract_json,
    repair_json,
)
from toolkit.evals.extract.normalization import (
    drop_reasoning,
    find_boxed,
    normalize_unicode,
    strip_markup,
)
from toolkit.evals.extract.number_words import find_number_phrase
from toolkit.evals.extract.refusals import find_judge_refusal
from toolkit.evals.extract.stated_numbers import Number, find_numbers

Winner = Literal["A", "B", "TIE"]
_SCORE_KEYS: Final = ("score", "rating", "points", "grade", "mark", "value", "result")
_WINNER_KEYS: Final = ("winner", "verdict", "better", "best", "preferred", "choice", "result")
_SCORE_LABEL: Final = regex.compile(
    r"\b(?:final\s+|overall\s+|total\s+)?(?:scores?|ratings?|points|grade|verdict|"
    r"Bewertung|Punkte|Punktzahl|note|puntuación|puntaje|calificación|punteggio|pontuação|nota|"
    r"оценка|beoordeling|ocena|betyg|puan)(?!\w)"
    r"(?:\s*\(\s*(?:\d+\s*(?:-|–|to)|out\s+of|of|max(?:imum|\.)?:?|von|sur|de|/)\s*\d+\s*\)|\s+on\s+a\s+scale\s+(?:of|from)\s+\d+\s*(?:-|–|to)\s*\d+)?"
    r"(?:[\s:：=>#*_`|(\[{$]|[-–](?=\s)|\\boxed|\bis\b|\bof\b(?!\s*\d)|\bwould be\b)*"
    r"|(?:评分|得分|分数|スコア|点数|점수)[\s:：は은는]*",
    regex.I,
)
_RANGE: Final = regex.compile(
    r"\s*(?:-|to|or|bis|oder|\.\.+)\s*(?:maybe\s+|perhaps\s+)?\d", regex.I
)
_BOUND: Final = regex.compile(
    r"(?:[<>≤≥]|\\[lg]eq?|\b(?:at\s+(?:least|most)|under|over|below|above))\s*$"
)
_OPEN_END: Final = regex.compile(
    r"\s?\+(?!\s?\d)|[\s,.–—-]*\b(?:no|wait|actually|sorry|correction)\b", regex.I
)
_SCALE: Final = regex.compile(
    r"\bon\s+a\s+(?:scale\s+(?:of|from)\s+\d+\s*(?:-|–|to)\s*(?P<top>\d+)|(?P<top>\d+)-point\s+scale)"
    r"[,:]?\s*",
    regex.I,
)
_STARS: Final = regex.compile(r"[\s*]*((?:[★⭐]\ufe0f?)+)[☆\s]*\W*")
_WINNER_LABEL: Final = regex.compile(
    r"(?:\b(?:winner|verdict|better\s+(?:answer|response|one)|bessere\s+Antwort|"
    r"meilleure\s+réponse|mejor\s+respuesta|melhor\s+resposta|migliore\s+risposta|preferred(?:\s+\w+)?|judge?ment|"
    r"decision|choice|preference|prefer|Gewinner|Sieger|ganadora?|vincitore|gagnant|vencedora?|"
    r"победитель|winnaar|zwycięzca|kazanan|better(?=\s*[:=])|"
    r"I(?:'d| would)\s+(?:pick|choose|go\s+(?:with|for)))(?!\w)"
    r"|胜者|获胜者|赢家|勝者|승자|更好的(?:回答|答案)?是?)",
    regex.I,
)
_GAP: Final = (
    r"(?:[ \t:：=\-–>#*_`|(\[{\"'$是为為はが은는이가]"
    r"|\n(?!\n)|\n\n(?=\W*(?:A|B|TIE)\W*(?:\n|$))|\\boxed|"
    r"\b(?:is|it|it's|(?-i:a)|the|ist|est|es|è|é|это|является|answer|response|assistant|option|model|candidate|"
    r"overall|clearly|be|would)(?:_|\b))*"
)
_SIDE: Final = (
    r"(?<![\p{Latin}\p{Cyrillic}\d])"
    r"(?<side>A|B|TIE|TIED|DRAW|EQUAL|NEITHER|BOTH|EQUALLY\s+GOOD|C(?=\]\]))(?!\w|'\w)"
)
_LABELLED_SIDE: Final = regex.compile(rf"{_GAP}{_SIDE}(?<after>[^\n]{{0,30}})", regex.I)
_ANSWERS: Final = r"(?:answer|response|assistant|option|model|candidate)"
_ORDINAL: Final = regex.compile(
    rf"\b(?:the\s+)?(?P<ordinal>first|second)\s+{_ANSWERS}\b|\b{_ANSWERS}\s+(?P<number>[12])\b(?![.,]?\d)",
    regex.I,
)
_COUNTS: Final = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
)
_WORDS_OF: Final = regex.compile(
    rf"(?<!\b(?:or|to|and|not)\s)\b(?P<points>{'|'.join(_COUNTS)})\s+out\s+of\s+(?P<top>{'|'.join(_COUNTS)})\b",
    regex.I,
)
_BRACKETS: Final = regex.compile(r"\[\[\s*(A|B|C|TIE|DRAW)\s*\]\]", regex.I)
_ARENA: Final = regex.compile(
    r"\[\[\s*A\s*(>>?|<<?|=)\s*B\s*\]\]|\[\[\s*B\s*(>>?|<<?|=)\s*A\s*\]\]"
)
_CALLED: Final = regex.compile(
    r"\b(?:(?:answer|response|assistant|option|model|candidate)[\s_]*(?<side>A|B)|(?-i:(?<bare>[AB])))"
    r"\s+(?:is\s+(?:clearly\s+|slightly\s+|much\s+|overall\s+|the\s+)*(?:better|best|preferable|"
    r"superior|stronger|winner|preferred)(?<better>)|wins(?<better>)|(?:(?:clearly|slightly|easily|narrowly)\s+)?"
    r"(?:beats|outperforms|surpasses)(?<better>)|loses(?<worse>)|is\s+(?:clearly\s+|slightly\s+|much\s+)*"
    r"(?:worse|inferior|weaker)(?<worse>))\b(?<aspect>\s+(?:in|on|at|for|regarding)\s)?",
    regex.I,
)
# Praise that decides between two answers; "more concise" or "more detailed" alone does not.
_MORE: Final = regex.compile(
    r"\b(?:answer|response|assistant|option|model|candidate)?[\s_]*(?<![A-Za-z])(?-i:(?<side>[AB]))\s+is\s+"
    r"(?:clearly\s+|slightly\s+|much\s+|far\s+|overall\s+)*(?:(?<better>more)|(?<worse>less))\s+"
    r"(?:helpful|accurate|correct|useful|informative|complete|comprehensive|convincing|reliable|"
    r"thorough)\b(?!\s*(?:,|and|but)\s)",
    regex.I,
)
_CALLED_ABROAD: Final = regex.compile(
    r"\b(?:Antwort|réponse|respuesta|resposta|risposta|antwoord|odpowiedź|ответ)\s+(?-i:(?<side>[AB]))\s+"
    r"(?:ist\s+(?:klar\s+|deutlich\s+|insgesamt\s+)?besser|est\s+(?:nettement\s+)?(?:la\s+)?meilleure|"
    r"es\s+(?:la\s+)?mejor|é\s+(?:a\s+)?melhor|è\s+(?:la\s+)?migliore|is\s+beter|jest\s+lepsza|лучше)(?!\w)"
    r"|(?:回答|答案|응답)\s?(?-i:(?<side>[AB]))\s?(?:更好|の方が(?:良い|よい|優れ)|[이가]\s더\s(?:좋|낫))",
    regex.I,
)
_CONTRAST: Final = regex.compile(
    r"\bnot\s+(?:answer\s+|response\s+)?[AB]\W{1,3}but\s+(?:rather\s+)?(?:answer\s+|response\s+)?"
    r"(?-i:(?<side>[AB]))(?!\w)",
    regex.I,
)
_EQUAL: Final = regex.compile(
    r"\b(?:it'?s|it is|call it|end in)\s+a\s+(?:tie|draw)\b|\bequally\s+good\b", regex.I
)
_UNLABELLED: Final = regex.compile(
    r"(?<![\d.])-?\d+(?:\.\d+)?\s*(?:points?\s+)?(?:/|out\s+of)\s*\d+(?![\d/])"
    r"|(?<=\b(?:gets?|give it|give this|deserves|award|earns?)\s)\d+(?:\.\d+)?(?=\s+points?\b)"
    r"|(?<=\b(?:give|rate|grade|award|scored?)\s+(?:it|this|the\s+(?:answer|response))\s+(?:an?\s+)?)"
    r"\d+(?:\.\d+)?(?=[\s.!]*$|\.\s|,?\s+(?:not|because|since|as|for)\b)"
    r"|(?<=\b(?:deserves|merits|warrants|earns|gets|receives)\s+(?:an?\s+)?)\d+(?:\.\d+)?"
    r"(?=[\s.!]*$|\.\s|,?\s+(?:not|because|since|as|for)\b)"
    r"|^\W*\d+(?:\.\d+)?\s+stars?\b",
    regex.I,
)
_VERDICT_LINE: Final = regex.compile(
    r"^[^\w\n]*(?P<label>score|rating|winner|verdict)\b[^\w\n]*"
    r"(?P<value>\d+(?:\.\d+)?|A|B|TIE)(?:\s*(?:/|out\s+of)\s*\d+)?[^\w\n]*$",
    regex.I | regex.M,
)
_CORRECTED: Final = regex.compile(
    r"\b(?:actually|correction|corrected|reconsider\w*|revis\w+|reflection|instead|wait|final\w*|"
    r"re-?read\w*|re-?check\w*|hm+|oops|mistaken?|"
    r"on second thought|let me|update\w*|change\w*|should)\b",
    regex.I,
)


def read_points(text: str, *, low: float = 0, top: float) -> float | None:
    """The points that a judge gave, between `low` and `top`; None where it gave none.

    A value on a named scale of another size ("8/10", "80%") is carried over to ours.
    """
    text = drop_reasoning(text)
    try:
        points = _read_points(text, low, top)
    except SeveralDecisions:
        return None
    # A judge that declines adds the lowest value for the form's sake.
    return None if points == low and find_judge_refusal(text) else points


def read_winner(text: str) -> Winner | None:
    """Which of two answers a judge prefers, A, B or TIE; None where it does not say."""
    text = normalize_unicode(drop_reasoning(text))
    try:
        given = _from_json(text, _WINNER_KEYS)
    except SeveralDecisions:
        return None
    refusal = find_judge_refusal(text)
    if _is_contradicted(text, given) or (refusal and refusal["helped"]):
        return None
    if isinstance(given, str):
        text = f"WINNER: {given}"
    tidy = _ORDINAL.sub(_name_side, regex.sub(r"[*`]+", "", strip_markup(text)))
    marked = [(match.start(), _side(match[1])) for match in _BRACKETS.finditer(text)]
    marked += [(match.start(), _arena(match)) for match in _ARENA.finditer(text)]
    if marked:
        # Two marks without a correction between them are no decision.
        is_one = len({side for _, side in marked}) == 1 or _CORRECTED.search(text)
        return max(marked)[1] if is_one else None
    return _find_preferred(tidy) or _lone_side(text, tidy)


def _name_side(match: regex.Match[str]) -> str:
    """Answer A for the first answer, answer B for the second."""
    is_first = (match["ordinal"] or match["number"]).lower() in ("first", "1")
    return f"answer {'A' if is_first else 'B'}"


def _find_preferred(tidy: str) -> Winner | None:
    """The side that a label names, or that a sentence calls the better one."""
    found = _find_labelled(tidy)
    called = list(_CALLED.finditer(tidy))
    if len({_called_side(match) for match in called}) > 1:  # one in style, the other in accuracy
        aspects = [match for match in called if match["aspect"]]
        called = [match for match in called if not match["aspect"]]
        if aspects and not called and not found:
            return None
    found += [(match.start(), _called_side(match)) for match in called]
    found += [
        (match.start(), _side(match["side"]))
        for pattern in (_CALLED_ABROAD, _CONTRAST)
        for match in pattern.finditer(tidy)
    ]
    if found:
        return max(found)[1]
    praised = {_called_side(match) for match in _MORE.finditer(tidy)}
    if len(praised) == 1:
        return praised.pop()
    return "TIE" if _EQUAL.search(tidy) else None


def _find_labelled(text: str) -> list[tuple[int, Winner]]:
    """The sides that follow a label such as "winner:", with their positions."""
    found = []
    for label in _WINNER_LABEL.finditer(text):
        match = _LABELLED_SIDE.match(text, label.end())
        if match and _is_decided(match):
            found.append((match.start("side"), _side(match["side"])))
    return found


def _called_side(match: regex.Match[str]) -> Winner:
    """Whom "A is better" or "A loses" calls the winner."""
    side = _side(match["side"] or match.groupdict().get("bare") or "")
    if match["better"] is not None:
        return side
    return "B" if side == "A" else "A"


def _lone_side(text: str, tidy: str) -> Winner | None:
    """The side that is all that the answer says: A, or A > B."""
    boxed = find_boxed(text)
    tidy = strip_markup(boxed[-1]) if boxed else tidy
    order = regex.fullmatch(r"\W*([AB])\s*([<>])\s*[AB]\W*", tidy)
    if order:
        first, second = ("A", "B") if order[1] == "A" else ("B", "A")
        return _side(first if order[2] == ">" else second)
    alone = regex.fullmatch(rf"[\W_]*(?:answer|response)?[\s_]*{_SIDE}[\W_]*", tidy, regex.I)
    return _side(alone["side"]) if alone else None


def _read_points(text: str, low: float, top: float) -> float | None:
    given = _from_json(text, _SCORE_KEYS)
    if _is_contradicted(text, given):
        return None
    if isinstance(given, int | float) and not isinstance(given, bool):
        return float(given) if low <= given <= top else None
    tidy = strip_markup(normalize_unicode(given if isinstance(given, str) else text))
    tidy = _WORDS_OF.sub(_in_digits, tidy)
    if isinstance(given, str):  # the field of an object needs no label
        tidy = f"score: {tidy}"
    labels = list(_SCORE_LABEL.finditer(tidy))
    labelled = _find_points_line(tidy, labels)
    if labelled is not None:
        return _on_scale(*labelled, low, top)
    scale = _SCALE.search(tidy)
    stated = {match[0] for match in _UNLABELLED.finditer(_SCALE.sub(" ", tidy))}
    if len(stated) == 1:
        text = stated.pop()
        if scale and text.replace(".", "", 1).isdigit():
            text = f"{text}/{scale['top']}"
        number = _first_number(text)
        return None if number is None else _on_scale(text, number, low, top)
    if labels and not isinstance(given, str):
        return None
    return _lone_points(tidy, low, top)


def _in_digits(match: regex.Match[str]) -> str:
    """4 out of 5 for four out of five."""
    points, top = (_COUNTS.index(match[name].lower()) for name in ("points", "top"))
    return f"{points} out of {top}"


def _find_points_line(text: str, labels: Sequence[regex.Match[str]]) -> tuple[str, Number] | None:
    """What follows the last label that a number follows, and that number."""
    for label in reversed(labels):
        line = text[label.end() :].lstrip(" \n\t").split("\n", 1)[0][:200]
        if label[0].rstrip().endswith((":>", ": >")):
            line = f">{line}"  # the label took in the sign of "score: >4"
        if regex.match(r"[\\{$(\[*\s>]*(?:boxed\{)?\s*(?:-|−|\+)?\d|[\\{$(\[*\s]*\w+\b", line):
            found = _first_number(line)
            if found is not None:
                return line, found
    return None


def _is_contradicted(text: str, given: Any) -> bool:
    """Whether two verdict lines differ, and no word between them says that one is corrected."""
    lines = list(_VERDICT_LINE.finditer(regex.sub(r"[*`_]+", "", text)))
    values = {_plain(line["value"]) for line in lines}
    if isinstance(given, str | int | float) and not isinstance(given, bool) and lines:
        values.add(_plain(str(given)))
    return len(values) > 1 and _CORRECTED.search(text) is None


def _plain(value: str) -> str:
    """One form of equal values: 4, 4.0 and " 4"."""
    value = regex.sub(r"\s*(?:/|OUT OF)\s*\d+$", "", value.strip().upper())
    return f"{float(value):g}" if regex.fullmatch(r"\d+(?:\.\d+)?", value) else value


def _is_decided(match: regex.Match[str]) -> bool:
    """Whether the letter is the decision: not the article of "a good answer", nor "A or B"."""
    after = match["after"]
    if regex.match(r"\s*(?:or|and|/)\s*B\b|\s*(?:>|<|=)\s*B\b", after, regex.I):
        return False
    is_article = match["side"] == "a" or match["side"] == "A"
    return not (
        is_article
        and regex.match(r"\s+(?!over\b|than\b|because\b)[a-z]+\s+(?:answer|response|one)\b", after)
    ) and not (match["side"] == "a" and regex.match(r"\s+\w", after))


def _side(word: str) -> Winner:
    letter = word.upper()
    return "A" if letter == "A" else "B" if letter == "B" else "TIE"


def _arena(match: regex.Match[str]) -> Winner:
    """The five grades of Arena-Hard, such as [[A>>B]]."""
    sign = match[1] or match[2]
    if sign == "=":
        return "TIE"
    first, second = ("A", "B") if match[1] else ("B", "A")
    return _side(first if sign.startswith(">") else second)


def _from_json(text: str, keys: tuple[str, ...]) -> Any:
    if "{" not in text:
        return None
    for form in (text, repair_json(text[text.index("{") :])):
        try:
            return _pick(extract_json(form, decision=lambda value: _pick(value, keys)), keys)
        except SeveralDecisions:
            raise
        except NoJson:
            continue
    return None


def _pick(value: Any, keys: tuple[str, ...]) -> Any:
    """The value of the first of these keys that an object has."""
    if not isinstance(value, Mapping):
        return None
    lower = {str(key).lower(): item for key, item in value.items()}
    return next((lower[key] for key in keys if lower.get(key) is not None), None)


def _first_number(line: str) -> Number | None:
    found = find_numbers(line[:60])
    if found and not regex.search(r"[A-Za-z]{3,}", line[: found[0].start].replace("boxed", "")):
        return found[0]
    words = regex.match(r"\W*([A-Za-z]+(?:[ -][A-Za-z]+){0,4})\b", line)
    phrase = find_number_phrase(words[1], take="first") if words else None
    # "half marks" is a share of the scale and no points on it.
    if phrase is None or phrase.value is None or phrase.start or 0 < phrase.value < 1:
        return None
    return Number((phrase.value,), phrase.start, phrase.end)


def _on_scale(line: str, number: Number, low: float, top: float) -> float | None:
    # "4/5" was read as the fraction it is; the number before the slash is the points.
    slash = regex.match(
        r"[^\d\-]*(-?\d+(?:[.,]\d+)?)\s*(?:/|out\s+of|of|von|sur|de|su|из)\s*(\d+(?:\.\d+)?)",
        line,
        regex.I,
    )
    if slash and float(slash[2]) > 0:
        value = float(slash[1].replace(",", "."))
        share = value / float(slash[2])
        value = value if float(slash[2]) == top else share * top
    elif number.is_percent:
        value = number.value / 100 * top
    else:
        readings = [float(reading) for reading in number.readings]
        value = readings[-1] if "," in line[: number.end] and len(readings) > 1 else readings[0]
        if _RANGE.match(line, number.end):
            return None
    if _BOUND.search(line[: number.start]) or _OPEN_END.match(line, number.end):
        return None
    return value if low <= value <= top else None


def _lone_points(text: str, low: float, top: float) -> float | None:
    """The points of an answer that is nothing but a number, or stars of five."""
    if top == 5 and (stars := _STARS.fullmatch(text)):
        points = float(sum(mark in "★⭐" for mark in stars[1]))
        return points if low <= points <= top else None
    bare = text.strip().strip(".")
    if not regex.fullmatch(
        r"[\[({$\\\s]*-?\d+(?:[.,]\d+)?\s*(?:%|(?:/|out of)\s*\d+)?[\])}$\s]*", bare
    ):
        return None
    number = _first_number(bare)
    return None if number is None else _on_scale(bare, number, low, top)
