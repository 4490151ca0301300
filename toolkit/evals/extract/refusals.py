"""Answers that begin by declining: "I can't help with that", in the languages that models write."""

from __future__ import annotations

from typing import Final

import regex

# An apology or an opening may come first; what is declined follows within a few words.
_OPENING: Final = (
    r"\W*(?:(?:reason|(?:i'?m\s+|i\s+am\s+)?(?:very\s+|so\s+)?sorry|i\s+apologi[sz]e|unfortunately|but|"
    r"es\s+tut\s+mir\s+leid|tut\s+mir\s+leid|entschuldigung|leider|aber|"
    r"je\s+suis\s+désolée?|désolée?|malheureusement|mais|"
    r"lo\s+siento(?:\s+mucho)?|lamentablemente|pero|desculpe|sinto\s+muito|infelizmente|mas|"
    r"mi\s+dispiace|purtroppo|ma|het\s+spijt\s+me|sorry|helaas|maar|"
    r"przepraszam|przykro\s+mi|niestety|ale|извините|простите|к\s+сожалению|но|"
    r"üzgünüm|maalesef|maaf)\b\W*"
    r"|(?:很抱歉|非常抱歉|抱歉|对不起|對不起|但是|但)\W*"
    r"|(?:申し訳(?:ありません|ございません)が?|すみませんが?|残念ながら|恐れ入りますが)\W*"
    r"|(?:죄송합니다만?|죄송하지만|유감스럽게도)\W*"
    r"|(?:عذراً?|آسف|للأسف)\W*|(?:क्षमा करें|माफ़ कीजिए)\W*)*"
    r"(?:as\s+an?\s+(?:ai|language|large)\b[^.\n]{0,40}?)?"
)
_DECLINED: Final = (
    r"(?:\bi(?:\s+(?:can\s?not|can'?t|won'?t|will\s+not|must\s+decline\s+to)"
    r"|(?:'m|\s+am)\s+(?:not\s+able|unable)\s+to)\b"
    r"|\bich\s+(?:kann|darf|werde)\b|\b(?:kann|darf)\s+ich\b"
    r"|\bje\s+(?:ne\s+(?:peux|saurais|suis)|refuse)\b|\bno\s+(?:puedo|me\s+es\s+posible)\b"
    r"|\b(?:eu\s+)?não\s+(?:posso|consigo)\b|\bnon\s+(?:posso|sono\s+in\s+grado)\b"
    r"|\bik\s+kan\b|\bkan\s+ik\b|\bnie\s+(?:mogę|jestem\s+w\s+stanie)\b"
    r"|\bя\s+не\s+(?:могу|в\s+состоянии)\b)"
)
_JUDGE: Final = (
    r"(?:grade|evaluate|judge|rate|assess|score|rating|verdict|evaluation|"
    r"bewerten|beurteilen|benoten|évaluer|juger|noter|evaluar|calificar|juzgar|puntuar|"
    r"avaliar|julgar|pontuar|valutare|giudicare|beoordelen|ocenić|оценить|оценивать)"
)
_HELP: Final = (
    r"(?:assist|help(?!\s+but)|comply|fulfil\w*|helfen|weiterhelfen|aider|répondre\s+à\s+cette\s+demande|"
    r"ayudar\w*|ajudar|aiutar\w*|helpen|pomóc|помочь)"
)
_ANSWER: Final = (
    r"(?:answer|determine|solve|calculate|compute|provide|tell|say|know|beantworten|berechnen|bestimmen|"
    r"répondre|calculer|déterminer|responder|calcular|determinar|rispondere|calcolare|ответить)"
)
_WITHOUT_SPACES: Final = (
    r"[^。.\n]{0,24}?(?:无法|不能|不便|無法|できません|できかねます|いたしかねます|할\s?수\s?없|드릴\s?수\s?없"
    r"|لا\s(?:أستطيع|يمكنني)|नहीं\s(?:कर|दे)\sसकता)"
)
_DENIES: Final = regex.compile(r"\b(?:nicht|keine?n?|niet|geen)\b", regex.I)
_NEEDS_DENIAL: Final = regex.compile(r"\b(?:ich|ik)\b", regex.I)
_TO_JUDGE: Final = regex.compile(
    rf"{_OPENING}(?<who>{_DECLINED})[^.\n]{{0,40}}?\b(?:(?<helped>{_HELP})|{_JUDGE})\b"
    rf"|{_OPENING}(?<helped>{_WITHOUT_SPACES})",
    regex.I,
)
_FACTS: Final = r"(?:information|data|context|details?)\b"
_UNKNOWN: Final = regex.compile(
    rf"{_OPENING}(?:\bi\s+(?:do\s+not|don['’]t)\s+know\b|\bich\s+weiß\s+(?:es\s+)?nicht\b"
    r"|\bje\s+ne\s+sais\s+pas\b|\bno\s+lo\s+sé\b|\bnão\s+sei\b|\bnon\s+lo\s+so\b|\bя\s+не\s+знаю\b"
    r"|我不知道|わかりません|모르겠"
    # "... but it is about 5" answers after all.
    r"|(?:(?:there\s+(?:is|are)\s+|there's\s+|(?:we|you|i)\s+have\s+)?(?:not\s+enough|insufficient|too\s+little)"
    rf"\s+{_FACTS}"
    r"|(?:there\s+(?:isn't|aren't)|(?:we|you|i)\s+(?:do\s+not|don't)\s+have|the\s+\w+\s+"
    rf"(?:do(?:es)?\s+not|doesn't|don't)\s+(?:give|provide|contain|include|state))\s+(?:enough|sufficient)\s+{_FACTS}"
    r"|(?:it|this|that|the\s+(?:exact\s+)?\w+)\s+(?:can\s?not|can't|could\s+not|couldn't)\s+be\s+"
    r"(?:determined|calculated|computed|answered|known|solved|inferred)\b"
    r"|it(?:'s|\s+is)\s+(?:not\s+possible|impossible)\s+to\s+(?:determine|say|tell|answer|calculate|know)\b"
    r"|(?:es\s+(?:gibt|liegen)\s+)?(?:nicht\s+(?:genug|genügend)|zu\s+wenige?)\s+(?:informationen|angaben|daten)\b"
    r"|(?:es|uns|mir)\s+fehlen\s+(?:informationen|angaben|daten)\b"
    r"|(?:il\s+n'y\s+a\s+)?pas\s+assez\s+d['e]\s?(?:informations?|données)\b"
    r"|no\s+hay\s+(?:suficiente|bastante)s?\s+(?:información|datos)\b"
    r"|não\s+há\s+(?:informações|dados)\s+suficientes\b|non\s+ci\s+sono\s+(?:abbastanza|sufficienti)\b"
    r"|(?:信息|条件|資訊)不足|情報が(?:足りません|不足)|정보가\s?(?:부족|충분하지))"
    r"(?![^\n]*\b(?:but|however|though|aber|jedoch|mais|pero|mas|ma)\b))",
    regex.I,
)
_TO_ANSWER: Final = regex.compile(
    rf"{_OPENING}(?<who>{_DECLINED})(?:(?!help\s+but)[^.\n]){{0,40}}?\b(?:{_HELP}|{_ANSWER})\b"
    rf"|{_OPENING}(?:{_WITHOUT_SPACES})",
    regex.I,
)


def find_judge_refusal(text: str) -> regex.Match[str] | None:
    """The words by which a judge declines to judge, where its answer begins with them.

    The group `helped` is set where it declines the whole request rather than the judgement.
    """
    return _find(_TO_JUDGE, text)


def declines_to_answer(text: str) -> bool:
    """Whether an answer begins by declining to answer."""
    return _find(_TO_ANSWER, text) is not None or _UNKNOWN.match(text.replace("’", "'")) is not None


def _find(pattern: regex.Pattern[str], text: str) -> regex.Match[str] | None:
    match = pattern.match(text.replace("’", "'")[:400])
    if match is None or not match["who"] or not _NEEDS_DENIAL.search(match["who"]):
        return match
    # "Ich kann bewerten" is none: German and Dutch deny after the verb.
    return match if _DENIES.search(match[0]) else None
