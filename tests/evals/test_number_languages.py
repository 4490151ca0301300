"""Numbers in the words of other languages: exact where they are stated, never guessed."""

from __future__ import annotations

import pytest

from toolkit.evals.extract.number_languages import _LANGUAGES, MOST, find_spelled_number
from toolkit.evals.extract.stated_numbers import find_stated_number

STATED = [
    ("Die Antwort ist zweiundvierzig.", 42),
    ("Antwort: eins", 1),
    ("Das Ergebnis beträgt eintausendzweihundertvierunddreißig.", 1234),
    ("Es sind hundertzwei Äpfel.", 102),
    ("neuntausendneunhundertneunundneunzig", 9999),
    ("Das ergibt minus siebzehn.", -17),
    ("Die Antwort ist fuenfundzwanzig", 25),
    ("La réponse est quatre-vingt-dix-sept.", 97),
    ("Il y a soixante et onze élèves.", 71),
    ("La réponse est deux cents.", 200),
    ("Le résultat est mille neuf cent quatre-vingt-quatre", 1984),
    ("Réponse : un", 1),
    ("vingt et un", 21),
    ("La respuesta es treinta y dos.", 32),
    ("La respuesta es once.", 11),
    ("En total: quinientos veintitrés", 523),
    ("veintidos", 22),
    ("El resultado es dos mil quinientos.", 2500),
    ("La risposta è trentotto.", 38),
    ("Il risultato è duemilatrecentoquarantacinque.", 2345),
    ("La risposta è sei.", 6),
    ("ventitré", 23),
    ("A resposta é vinte e sete.", 27),
    ("O resultado é mil duzentos e trinta e quatro.", 1234),
    ("A resposta é cem.", 100),
    ("dezassete", 17),
    ("答案是四十二。", 42),
    ("一共有三百二十五个苹果。", 325),
    ("答案：两千零二十四", 2024),
    ("答えは十五です。", 15),
    ("合計は千二百円になります。", 1200),
    ("三万", 30000),
    ("答案是一。", 1),
    ("一共有三个苹果。", 3),
    ("二〇二六", 2026),
]
NOT_STATED = [
    "Once upon a time, my son was due at the elf's house.",
    "The value is null.",
    "They die at sea; also acht.",
    "Ein Apfel ist eine Frucht.",
    "La réponse est une question de goût.",
    "Un gato es un animal.",
    "La risposta è uno spreco.",
    "Das Ergebnis ist sieben oder acht.",
    "La réponse est deux trois.",
    "La respuesta es cinco o seis.",
    "这是一个问题，不一定对。",
    "十分感谢。",
    "答案是三百五。",
    "Sei un amico.",
]


@pytest.mark.parametrize(("text", "value"), STATED)
def test_a_stated_number_is_read(text: str, value: int) -> None:
    found = find_stated_number(text)
    assert found is not None and found.readings == (value,), text


@pytest.mark.parametrize("text", NOT_STATED)
def test_what_is_no_number_or_two_is_not_guessed(text: str) -> None:
    assert find_stated_number(text) is None


@pytest.mark.parametrize("language", _LANGUAGES, ids=lambda x: x.spell.__name__.strip("_"))
def test_every_number_is_read_as_it_is_spelled(language) -> None:
    for number in range(0, MOST + 1, 7):
        spelled = language.spell(number)
        found = find_spelled_number(spelled)
        assert found is not None and found.value == number, spelled
