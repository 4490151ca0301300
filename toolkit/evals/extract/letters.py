r"""The option that an answer chooses: A, (b), **C**, \boxed{D}, "the answer is E".

What is stated counts before what is discussed, the last statement before earlier ones. The
article "a", the pronoun "I" and letters within prose ("Vitamin C") are never taken for a choice,
and an answer that states two options has not chosen: the result is None rather than a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_uppercase
from typing import Final

import regex

from toolkit.evals.extract.normalization import (
    drop_reasoning,
    find_boxed,
    find_tagged,
    normalize_unicode,
    strip_markup,
)

# Cyrillic and Greek capitals that look like Latin ones, as models mix them up.
_LOOKALIKES: Final = str.maketrans("АВСЕНКМОРТХΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABCEHKMOPTXABEZHIKMNOPTYX")
# Options as Korean, Japanese and Chinese exams number them.
_CIRCLED: Final = str.maketrans("①②③④⑤⑥⑦⑧⑨⑩", "ABCDEFGHIJ")
_MARKERS: Final = (
    # English; then German, French, Spanish, Portuguese, Italian, Dutch, Polish, Nordic, Turkish,
    # Vietnamese, Indonesian, Russian, Ukrainian, Czech, Greek, Arabic, Hindi; Chinese, Japanese,
    # Korean below.
    r"\bans\.(?=\s)|\b(?:answers?|ans|options?|choices?|conclusion|selection|pick|solution|response|"
    r"Antwort|Lösung|Option|Auswahl|réponse|choix|respuesta|opción|resposta|opção|alternativa|"
    r"risposta|opzione|scelta|antwoord|keuze|odpowied[źz]|opcja|svaret?|svar|vastaus|cevap|yanıt|"
    r"seçenek|đáp án|trả lời|jawaban(?:nya)?|pilihan|ответ(?:ом)?|вариант|выбираю|"
    r"відповідь|odpověď|απάντηση|"
    r"الإجابة|الخيار|الجواب|उत्तर|válasz|תשובה|התשובה)\b|(?:最终)?(?:答案|选项|選項|选择|選擇|应选|故选|所以选|选|解答|"
    r"答え|正解|回答|正答|選択肢)|ค(?:ำ|ํา)ตอบ(?:ที่ถูกต้อง)?(?:คือ)?|정답|답|선택|\b(?:correct|final)(?=\s*[:=])"
)
_VERBS: Final = (
    r"\b(?:I(?:'d| would| will|'ll)?\s+(?:say|go\s+(?:with|for)|choose|pick|select|opt\s+for|"
    r"answer|vote\s+for|guess|lean(?:\s+(?:towards?|to))?|prefer)|leaning\s+(?:towards?|to)|(?:choose|select|choosing|selecting|pick|chose|selected|picked)|"
    r"(?:I'm|I am)\s+going\s+(?:with|for)|(?:it|this|that)(?:'s| is| must be| should be| would be"
    r"| has to be| ought to be)|"
    r"(?:leaves|leaving|left\s+with)(?:\s+(?:us|me|you))?(?:\s+with)?(?:\s+(?:only|just))?|"
    r"by\s+(?:the\s+process\s+of\s+|process\s+of\s+)?elimination[:,]?|"
    r"must be|(?:so|thus|hence|therefore|definitely|probably|clearly|definitively|finally)[:,]?|"
    r"my\s+(?:best\s+)?guess|the\s+right\s+one|(?:wait|actually|correction|scratch\s+that|hm+,?\s+no|on\s+second\s+thought)[,.:!…]*|"
    r"ich\s+(?:wähle|nehme|tippe\s+auf)|(?:das|es)\s+(?:ist|wäre)(?:\s+dann)?|je\s+(?:choisis|dirais|pense\s+que)|"
    r"c'est|ce\s+serait|elijo|escolho|scelgo|scelgerei|creo\s+que\s+es|diría(?:\s+que)?(?:\s+es)?|acho\s+que\s+é|"
    r"я\s+(?:думаю|считаю|выбираю)|kies\s+ik|ik\s+kies)(?!\w)"
    r"|我?(?:认为|觉得|認為)(?:答案)?(?:应该)?是|正确的(?:答案)?(?:应该)?是"
)
_FILLER: Final = (
    r"(?:\s|[:：=>→⇒,—–\-*_\"'“”「」『』\[\](){}#$|]|\\boxed|\\text|\b(?:(?i:is|are|was|be|would|"
    r"should|must|will|the|correct|right|best|final|most|likely|appropriate|accurate|therefore|"
    r"thus|clearly|definitely|indeed|letter|option|choice|answer|to|this|question|that|for|given|"
    r"by|here|below|above|among|these|ist|lautet|die|richtige|Buchstabe|Antwort|est|la|l'|bonne|"
    r"correcte|réponse|lettre|letra|certa|certo|es|correcta|opción|letra|correta|alternativa|corretta|lettera|het|"
    r"juiste|jest|là|adalah|doğru|şıkkı|är|er|on|je|η|είναι|σωστή|đúng|הנכונה|היא|הוא|правильный|"
    r"верный|это|является|donc|alors|also|richtig|вариант|هي|هو|الصحيحة|सही|है|correcto|correto|giusta|esatta)|é|a(?=\s)|è)\b(?!\s*$)"
    r"|(?:应该|應該|应当|应|はい|为|為|是|は|が|은|는|项|項))"
)
_NEXT_WORDS: Final = (
    "because|since|as|and|but|for|which|where|so|due|given|not|with|based|that|from|according|"
    "when|if|while|therefore|hence|thus|although|though|rather|instead|by|in|is|would|seems|weil|"
    "da|denn|und|nicht|parce|car|et|porque|y|pues|perché|e|on|of|here|only|alone|or"
)
_DENIED_AFTER: Final = regex.compile(
    r"[)\]*]*\s+(?:is|was|seems|looks)(?:n't|\s+(?:(?:also|clearly|definitely|simply)\s+)?"
    r"(?:not(?! only\b)|wrong|incorrect|false|invalid|out))\b"
    r"|[)\]]*(?:\s*(?:,|and|or|&)\s*[(\[]?\p{Lu}[)\]]?)*\s+(?:is|are|was|were|can\s+be)\s+"
    r"(?:both\s+|all\s+)?(?:excluded|eliminated|ruled\s+out|discarded|rejected|wrong|incorrect|not)\b"
    r"|[)\]*]*\s+(?:out|aside)\b"
    r"|[)\].:*]*\s*[-–—:]?\s*(?:(?i:incorrect|wrong|false|falsch|faux|incorrecta?)\s*(?:[.,;]|$|\n|[-–—:]\s)|[❌✗✘])"
)
_DENIED_LINE: Final = regex.compile(
    rf"[\s>*#\-\"'(\[]*(?:(?:option|choice|answer)\s+)?\p{{L}}(?:{_DENIED_AFTER.pattern})", regex.I
)
_LETTER_LIST: Final = regex.compile(
    r"[\s>*#\-\"'(\[]*\p{Lu}[)\]]?(?:,\s*[(\[]?\p{Lu}[)\]]?)*,?\s*(?:(?:and|or|&)\s+)?[(\[]?(?!I\b)\p{Lu}"
    r"[)\]]?\s*(?:[,;.]|$|\b(?:and|or|are|were|can|could|do|seem)\b)"
)
_JUDGED: Final = regex.compile(
    r"(?<![\w'])[(\[]?(?P<letter>\p{Lu})[)\]]?[^\S\n]*(?:[:?.=|–—-]+|[^\S\n])[^\S\n]*\(?(?:is\s+)?"
    r"(?P<verdict>(?P<right>yes|right|correct|true|richtig|korrekt|vrai|correcta?|certo|✅|✓|✔)"
    r"|no|wrong|incorrect|false|falsch|faux|incorrecta?|errado|❌|✗|✘)"
    r"(?:(?<=[✅✓✔❌✗✘])\ufe0f?|(?=\s*(?:[.,;!|)]|$|[(\[]\p{Lu}[)\]]|[-–—:]\s)))",
    regex.I | regex.M,
)
_DENIED_BEFORE: Final = regex.compile(r"\b(?:not|nor|neither|never)\s+$", regex.I)
_SECOND_OPTION: Final = regex.compile(
    r"\s*(?:and|or|&|/|und|oder|et|ou|y|o|,)\s*(?:[(\[]\p{L}[)\]]|\p{L}[)\]])(?!\w)", regex.I
)
_COPULA: Final = regex.compile(
    r"(?<=^[A-Z])(?:です|だ|である|となります|입니다|이다|100%)+(?:と思います)?$|^100%(?=[A-Z]$)"
)
# "Plan B is best", "Vitamin C is right": the letter is part of a name.
_NAME_BEFORE: Final = regex.compile(
    r"\b(?:vitamin|plan|hepatitis|type|group|grade|team|schedule|appendix|section|figure|fig\.|table|"
    r"phase|exhibit|blood|influenza|protein|factor|level|tier|version|room|gate|note|key)\s+$",
    regex.I,
)
_ANSWER_LINE: Final = regex.compile(
    rf"(?im)^\W*(?P<label>(?:final\s+)?(?:{_MARKERS}))\W*[:：=]\W*(?P<letter>\p{{L}})\W*$"
)
_CORRECTED: Final = regex.compile(
    r"\b(?:actually|correct(?:ion|ed)|wait|instead|mistake|sorry|no|reconsider\w*|revised?|"
    r"on second thought|let me|scratch that)\b",
    regex.I,
)
# "It's not B but C", in the languages that contrast in this way.
_CONTRAST: Final = (
    r"\b(?:not|nicht|pas|no|non|não|не)\s+(?:option\s+)?[(\[]?[A-Z][)\]]?\W{1,3}"
    r"(?:but|sondern|mais|sino|ma|mas|а)\s+(?:rather\s+)?(?:option\s+)?[(\[]?"
    r"|不是\s?[A-Z]\s?[,,]?\s?而是\s?"
)
_UNREAL: Final = regex.compile(
    r"\b(?:if|unless|otherwise|had|were|wenn|falls|si|se)\b[^.!?\n]*$", regex.I
)
_CHECKED: Final = regex.compile(
    r"(?m)^[\s>*+-]*(?:\[(?P<mark>[xX✓✔✅ ]?)\]|(?P<sign>[☑☒✅✔☐⬜]\ufe0f?))\s*[*(\[]*"
    r"(?P<letter>[A-Z])(?!\w)"
)
_EMPTY: Final = " ☐⬜"
# Words that name an option without choosing it: "Options A, C and D confuse the two".
_NAMED: Final = regex.compile(
    r"(?:options?|choices?|opción|opção|opzione|вариант)\s+[(\[]?", regex.I
)
_CHOSEN: Final = regex.compile(
    r"[)\]]?\s*(?:$|[.,;:!)\n—–-]|(?:is|would\s+be|seems|must\s+be|es|est|ist|é|è|it\s+is)\b|because|since)"
)
_ALONE: Final = regex.compile(r"(?<!\w)\p{Lu}(?!\w)")


def find_choice(
    text: str, letters: str = "ABCD", options: Mapping[str, str] | None = None
) -> str | None:
    """The letter that a text chooses, or None where it chooses none or more than one.

    Args:
        text: the answer.
        letters: of the options.
        options: the text of each option; an answer that repeats one of them has chosen it.
    """
    allowed = letters.upper()
    text = normalize_unicode(drop_reasoning(text).translate(_CIRCLED)).strip()
    text = _ALONE.sub(lambda match: match[0].translate(_LOOKALIKES), text)
    tagged = strip_markup(find_tagged(text) or "")
    marked = _bare(tagged, allowed) or _find_checked(text, allowed) or _find_boxed(text, allowed)
    if marked:
        return marked
    text = strip_markup(text.replace("\\boxed", "")).strip()
    if found := _bare(text, allowed):
        return found
    if _is_contradicted(text):
        return None
    if stated := _find_stated(text, allowed):
        return None if len(stated) > 1 else stated
    for found in (_judged(text, allowed), _from_lines(text, allowed), _free(text, allowed)):
        if found:
            return None if len(found) > 1 else found
    return _by_text(text, options) if options else None


def read_options(text: str) -> dict[str, str]:
    """The options that a question lists: `A) Paris`, `(B) Rome`, `C. Berlin`, one per line."""
    pattern = regex.compile(r"(?m)^\s*\(?([A-Z])[).:]\s+(\S.*?)\s*$")
    found = {match[1]: match[2] for match in pattern.finditer(text)}
    expected = ascii_uppercase[: len(found)]
    return found if len(found) > 1 and "".join(found) == expected else {}


def _find_boxed(text: str, allowed: str) -> str | None:
    r"""The option in the last `\boxed{...}` that holds one."""
    for boxed in reversed(find_boxed(text)):
        content = strip_markup(boxed)
        if found := _leading(content.strip(), allowed) or _bare(content, allowed):
            return found
    return None


def _find_checked(text: str, allowed: str) -> str | None:
    """The one option that is ticked in a list of boxes: `- [ ] A`, `- [x] B`."""
    boxes = [match for match in _CHECKED.finditer(text) if match["letter"] in allowed]
    ticked = [
        box["letter"] for box in boxes if (box["mark"] or box["sign"] or " ")[0] not in _EMPTY
    ]
    return ticked[0] if len(boxes) > 1 and len(ticked) == 1 else None


def _bare(text: str, allowed: str) -> str | None:
    """The text is a letter and marks, nothing else."""
    bare = regex.sub(r"[\s().:*_`\[\]{}\"'$#!,;。、「」『』【】《》〔〕-]", "", text).upper()
    bare = _COPULA.sub("", bare)
    return bare if len(bare) == 1 and bare in allowed else None


def _leading(line: str, allowed: str) -> str | None:
    """The letter that a line begins with, as an option is written: `B) Paris`, `B. A vector`."""
    match = regex.match(
        r"[\s>*#\-\"'(\[{]*(?:(?:option|choice|answer|letter)\s+)?[(\[]?"
        r"(?P<letter>[A-Za-z])(?P<after>[)\].:,;]|\s*[-–—:]\s|\s|$)(?P<rest>.*)",
        line,
        regex.DOTALL,
    )
    if match is None or match["letter"].upper() not in allowed:
        return None
    letter, after, rest = match["letter"], match["after"], match["rest"]
    if _SECOND_OPTION.match(rest):  # "a) and c)"
        return None
    is_marked = after.strip() != "" or regex.match(r"[\s>*#]*[(\[]", line) is not None
    if letter in "aAI" and after == "," and letter != "A":
        return None
    if is_marked:
        # `e.g.` and `i.e.` are not options.
        return None if after == "." and regex.match(r"[a-z]\.", rest) else letter.upper()
    if not rest.strip():
        return letter.upper()
    is_verb = regex.match(r"\s*(?:(?:is|seems|would be|because|since|as)\b|\()", rest)
    return letter.upper() if is_verb and letter.isupper() and letter != "I" else None


def _find_stated(text: str, allowed: str) -> str:
    """The last letter that follows a statement ("answer is"), or is called right; "" for none.

    Two letters mean that the statement names both.
    """
    lower = allowed.lower()
    after = regex.compile(
        rf"(?:(?i:{_MARKERS})(?P<link>{_FILLER}*+)|(?i:{_VERBS})(?P<gap>{_FILLER}*))"
    )
    found: list[tuple[int, str]] = []
    at = 0
    while match := after.search(text, at):
        at = max(match.end(), match.start() + 1)
        letter_at = _letter_at(text, match.end(), allowed, lower)
        if letter_at is None:
            letter_at = _letter_before(text, match, allowed, lower)
        if letter_at is None or _is_denied(text, match.start(), letter_at):
            continue
        if _is_list_head(text, match, letter_at) or (
            found and _is_only_named(text, match, letter_at, found[-1][0])
        ):
            continue
        found.append((letter_at, _with_second(text, letter_at, allowed)))
    for match in regex.finditer(
        rf"(?<![\w'.])[(\[]?(?P<letter>[{allowed}])[)\]]?(?![\w'])\W{{0,3}}"
        r"(?:是正?(?:确|確|对|對)|ist\s+(?:richtig|korrekt)\b|est\s+(?:correcte?|la\s+bonne)\b"
        r"|es\s+(?:la\s+)?correcta\b|"
        r"(?:is|would be|seems(?: to be)?|appears to be)\s+(?:(?:the|most|more|far|much|clearly|"
        r"definitely|indeed|therefore)\s+)*(?:right|correct|best|better|true|answer|appropriate|accurate|"
        r"plausible|likely|probable|convincing|suitable|reasonable|preferable)\b(?!\s+than\b))"
        rf"|(?<![\w'.])(?P<works>[{allowed}])[)\]]?\s+(?:works|fits|holds|matches|wins|remains"
        r"|it\s+is(?!\s+not)|(?:is|was)\s+(?:(?:all|the\s+(?:only|last)\s+(?:one|option))\s+(?:that\s+is\s+)?)?"
        r"(?:left|remaining))\b",
        text,
    ):
        name = "letter" if match["letter"] else "works"
        if _NAME_BEFORE.search(text, max(match.start() - 14, 0), match.start()):
            continue
        is_unreal = "would be" in match[0] and _UNREAL.search(text, 0, match.start())
        if not (is_unreal and found):
            found.append((match.start(name), match[name]))
    found += _find_pointed_at(text, allowed)
    return max(found)[1] if found else ""


def _find_pointed_at(text: str, allowed: str) -> list[tuple[int, str]]:
    """Letters after an arrow that ends a line, and after "not B but", with their positions."""
    arrow = (
        rf"(?<![{allowed}][)\]]?\s*)(?:→|⇒|=>|∴)\s*[(\[]?(?P<letter>[{allowed}])[)\]]?"
        r"[^\w\n]*(?:$|\n)"
    )
    contrast = rf"(?i:{_CONTRAST})(?P<letter>[{allowed}])(?!\w)"
    return [
        (match.start("letter"), match["letter"])
        for pattern in (arrow, contrast)
        for match in regex.finditer(pattern, text)
    ]


def _is_list_head(text: str, match: regex.Match[str], letter_at: int) -> bool:
    """Whether the letter begins a list of all options: "Options: A (no), B (yes)"."""
    is_plural = match[0][:7].lower() in ("options", "choices")
    return is_plural and regex.match(r"[)\]]?\s*[(,;:=]", text[letter_at + 1 :]) is not None


def _is_only_named(text: str, match: regex.Match[str], letter_at: int, chosen_at: int) -> bool:
    """Whether an option is talked about after another was chosen, without a word of correction."""
    if not _NAMED.fullmatch(text, match.start(), letter_at):
        return False
    is_chosen = _CHOSEN.match(text, letter_at + 1) and match[0][:7].lower() != "options"
    return not is_chosen and _CORRECTED.search(text, chosen_at, letter_at) is None


def _is_contradicted(text: str) -> bool:
    """Whether two answer lines of one label differ, and nothing says that one is corrected."""
    letters: dict[str, set[str]] = {}
    for line in _ANSWER_LINE.finditer(text):
        letters.setdefault(line["label"].lower(), set()).add(line["letter"].upper())
    return any(len(found) > 1 for found in letters.values()) and not _CORRECTED.search(text)


def _is_denied(text: str, start: int, letter_at: int) -> bool:
    """Whether a statement says what the choice is not: "not option B", "option C is not"."""
    is_denied = _DENIED_AFTER.match(text, letter_at + 1) is not None
    return is_denied or _DENIED_BEFORE.search(text, max(start - 12, 0), start) is not None


def _letter_before(text: str, match: regex.Match[str], allowed: str, lower: str) -> int | None:
    """The letter that the filler took in: "the answer is a" ends with the Portuguese article."""
    end = match.end()
    while end > match.start():
        end -= 1
        if text[end].isspace() or not text[end].isalnum():
            continue
        is_single = not text[end - 1 : end].isalnum() and end > match.start()
        return _letter_at(text, end, allowed, lower) if is_single else None
    return None


def _letter_at(  # noqa: PLR0911 - one way to be no choice a line
    text: str, at: int, allowed: str, lower: str
) -> int | None:
    """The position, if the letter at it can be a choice."""
    letter, before, after = text[at : at + 1], text[at - 1 : at], text[at + 1 : at + 40]
    if not letter or (letter not in allowed and letter not in lower):
        return None
    if before.isalnum() and before.isascii():
        return None
    if after[:1] and (after[0] in "_" or (after[0].isalnum() and after[0].isascii())):
        return None
    if regex.match(r"['’](?!d[ıiuü]r\b)\w|[a-z]", after):
        return None
    if before in "([{" and after[:1] in ")]}":
        return at
    if letter in lower:
        is_end = regex.match(r"\s*(?:$|[)\].,;:!?\n])", after)
        # `i.e.` and `a. b.` within a sentence
        return at if is_end and not regex.match(r"\.[a-z]", after) else None
    if letter not in "AI":
        return at
    return None if regex.match(rf"\s+(?!(?:{_NEXT_WORDS})\b)[a-z]", after) else at


def _with_second(text: str, at: int, allowed: str) -> str:
    """The letter at a place, and another that the same statement names: "B or C"."""
    second = regex.match(
        rf"[)\]]?\s*(?:or|and|/|&|oder|und|ou|et|o|y|lub|или|и|veya|ve|hoặc|和|与|與|及|或|、|와|과|と)\s*[(\[]?(?P<letter>[{allowed}])(?![\w'])"
        rf"(?!\s+(?:is|are|was)\b)[)\]]?"
        rf"|[)\]]?,\s*[(\[]?(?P<listed>[{allowed}])[)\]]?(?=\s*(?:[,.;]|$|\n|and\b|or\b))",
        text[at + 1 : at + 20],
    )
    first = text[at].upper()
    other = (second["letter"] or second["listed"]) if second else first
    return first + other if other != first else first


def _from_lines(text: str, allowed: str) -> str:
    """The letter that the last or first line begins with or is; "" where lines list several."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [
        letter
        for line in lines
        if (letter := _leading(line, allowed))
        and not _DENIED_LINE.match(line)
        and not _LETTER_LIST.match(line)
    ]
    if not found:
        return ""
    if last := _bare(lines[-1], allowed):
        return last
    # The first line is the choice, and the lines after it talk about the other options.
    alone = [letter for line in lines if (letter := _bare(line, allowed))]
    if alone and alone == [_bare(lines[0], allowed)]:
        return alone[0]
    return "".join(dict.fromkeys(found))


def _judged(text: str, allowed: str) -> str:
    """The one letter that is called right where each is judged: "A? No. B? No. C? Yes."

    All of them where none or several are right; "" where fewer than three are judged, which an
    option such as "A) Yes" looks like.
    """
    judged = [match for match in _JUDGED.finditer(text) if match["letter"] in allowed]
    letters = "".join(dict.fromkeys(match["letter"] for match in judged))
    right = "".join(dict.fromkeys(match["letter"] for match in judged if match["right"]))
    if len(letters) < 3:
        return ""
    return right if len(right) == 1 else letters


def _free(text: str, allowed: str) -> str:
    """Letters in brackets or quotes, or after a word such as option, anywhere in the text."""
    found = [
        match["in"] or match["after"]
        for match in regex.finditer(
            rf"[(\[\"'](?P<in>[{allowed}])[)\]\"']|\b(?i:option|choice|letter)\s+(?P<after>[{allowed}])(?![\w'])",
            text,
        )
        if not _DENIED_BEFORE.search(text, max(match.start() - 12, 0), match.start())
    ]
    return "".join(dict.fromkeys(found))


def _by_text(text: str, options: Mapping[str, str]) -> str | None:
    """The one option whose text the answer is, or the only one that its last sentence holds."""

    def bare(value: str) -> str:
        return " ".join(regex.findall(r"\w+", value.casefold()))

    answer = f" {bare(text)} "
    exact = [letter for letter, option in options.items() if f" {bare(option)} " == answer]
    held = [letter for letter, option in options.items() if f" {bare(option)} " in answer]
    found = exact or held
    return found[0] if len(found) == 1 else None
