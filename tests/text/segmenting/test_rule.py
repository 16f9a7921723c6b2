"""Rules: text is cut where the class of characters changes."""

import pytest

from paribus.errors import RequestError
from paribus.text.segmenting.rule import CharacterClass, Rules, RuleSegmenter


@pytest.mark.parametrize(
    ("name", "divided"),
    [
        ("japanese", "一ヶ月前|、|らーめん|と|コーヒー|を|食|べた|。|東京|Tower|2024|年"),
        ("classes", "café|2024|年の|  |नमस्ते|!|!|👩\u200d👩\u200d👧🇩🇪|\u200f|שלום"),
        ("scripts", "Москва|Berlin|東京|タワー|です|กรุง|서울|नमस्ते|12|👍🏽"),
    ],
)
def test_pieces_end_where_the_class_changes(name: str, divided: str) -> None:
    pieces = divided.split("|")
    if name == "japanese":  # a change of script is no word boundary between two words of one script
        pieces[2:4] = ["らーめんと"]
    assert RuleSegmenter(name).segment("".join(pieces)) == pieces


def test_a_character_belongs_to_the_first_class_that_has_it() -> None:
    vowels = CharacterClass(name="vowels", characters="aeiou", together=False)
    rules = Rules(name="own", classes=(vowels, CharacterClass(name="letters", characters="a-z")))
    assert RuleSegmenter(rules).segment("strengtheae\u0301x,") == [
        "str",
        "e",
        "ngth",
        "e",
        "a",
        "é",
        "x",
        ",",
    ]


@pytest.mark.parametrize(
    ("characters", "message"),
    [
        ("a](x+)+[b", "holds a bare ]"),
        ("^a", r"without \^ in front"),
        ("a--b", "without"),
        ("a\\", "without"),
        ("", "1 to 10,000 characters; 0"),
        ("z-a", "cannot be read"),
        (r"\p{Nowhere}", "cannot be read"),
    ],
)
def test_characters_that_are_more_than_a_list_are_refused(characters: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        RuleSegmenter(Rules(name="own", classes=(CharacterClass(name="x", characters=characters),))).segment(
            "a"
        )


def test_a_bracket_is_a_character_when_escaped() -> None:
    rules = Rules(name="own", classes=(CharacterClass(name="brackets", characters=r"\[\]\-"),))
    assert RuleSegmenter(rules).segment("a[]-b") == ["a", "[]-", "b"]


def test_unknown_rules_offer_the_nearest() -> None:
    with pytest.raises(RequestError, match="no rules 'japan'; did you mean japanese"):
        RuleSegmenter("japan")
