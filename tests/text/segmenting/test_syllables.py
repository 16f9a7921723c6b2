"""Syllables of words whose division is known, Hangul by arithmetic, and readings of Chinese."""

import unicodedata

import pytest

from paribus.errors import RequestError
from paribus.text.segmenting.syllables import SyllableSegmenter
from paribus.text.segmenting.syllables.hangul import from_jamo, to_jamo

#: Divisions as grammars and dictionaries of these languages give them.
DIVIDED = {
    "en": "to-ke-ni-zer win-dow hap-py na-tion so-cial ta-ble bot-tle chick-en kitch-en be-yond a-way lan-guage "
    "com-pu-ter wan-ted hoped make strength the queue rhythm don't café at-las ex-tra syl-la-ble beau-ti-ful",
    "es": "cons-truir gue-rra a-ve-ri-güéis pa-ra-no-ia Pa-ra-guay u-ru-gua-yo le-í-a pin-güi-no a-ho-ra ca-rro ca-lle "
    "mu-cho ins-tru-men-to a-é-re-o ciu-dad pa-ís rey muy que-so ins-pec-ción",
    "it": "pa-sta ac-qua gior-no fa-mi-glia no-ia a-iuo-la l'a-mi-co la-sa-gna ma-e-stro fi-ne-stra cit-tà po-e-sia "
    "ra-gaz-zo scio-pe-ro chie-sa",
    "de": "Fens-ter Zu-cker Kas-ten Haus-tür Mäd-chen schrei-ben Ap-fel Stra-ße Häu-ser Was-ser Phi-lo-so-phie",
}


@pytest.mark.parametrize("code", DIVIDED)
def test_words_are_divided_as_their_language_does(code: str) -> None:
    segmenter = SyllableSegmenter(language=code)
    for divided in DIVIDED[code].split():
        for form in ("NFC", "NFD"):
            word = unicodedata.normalize(form, divided.replace("-", ""))
            found = "-".join(segmenter.segment(word))
            assert unicodedata.normalize("NFC", found) == divided


def test_capitals_are_divided_as_small_letters() -> None:
    assert SyllableSegmenter().segment("WINDOW") == ["WIN", "DOW"]


def test_an_unknown_language_offers_those_there_are() -> None:
    with pytest.raises(RequestError, match="the language 'fr'; known: de, en, es, it"):
        SyllableSegmenter(language="fr")


def test_every_hangul_syllable_comes_apart_and_together_as_unicode_says() -> None:
    syllables = "".join(map(chr, range(0xAC00, 0xD7A4)))
    apart = to_jamo(syllables)
    assert apart == unicodedata.normalize("NFD", syllables)
    assert from_jamo(apart) == syllables
    for mixed in ("가\u11a8", "각\u11a8", "\u1100a\u1161", "\u1100\u1161\u11a7"):
        assert from_jamo(mixed) == unicodedata.normalize("NFC", mixed)


def test_scripts_side_by_side_are_each_cut_their_own_way() -> None:
    jamo = unicodedata.normalize("NFD", "한국")
    found = SyllableSegmenter().segment(f"window 한국{jamo}，北京 2024!\u0301")
    assert found == [
        "win",
        "dow",
        " ",
        "한",
        "국",
        jamo[:3],
        jamo[3:],
        "，",
        "北",
        "京",
        " ",
        "2024",
        "!",
        "\u0301",
    ]


def test_characters_are_read_in_their_context() -> None:
    readings = SyllableSegmenter().readings(
        "校长在长江，ab\ud800\U0002fa1d" + unicodedata.normalize("NFD", "한")
    )
    assert dict(readings[:2]) == {"校": "xiào", "长": "zhǎng"}
    assert readings[3:6] == [("长", "cháng"), ("江", "jiāng"), ("，", None)]
    assert readings[6:8] == [("ab", None), ("\ud800", None)]
    assert readings[-1] == (unicodedata.normalize("NFD", "한"), "한")
