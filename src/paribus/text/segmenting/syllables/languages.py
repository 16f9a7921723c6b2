"""What a language's spelling says of syllables: which letters are a nucleus, which are one consonant, what may begin.

Data only; `latin.py` says what is made of it. Patterns see lower-case letters with the accents that stand in `accents`
and no others. They are tried in the order silent, consonants, nuclei; any other letter is a consonant of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

_WITH_LIQUID = "bl br cl cr dr fl fr gl gr pl pr tr"


@dataclass(frozen=True, kw_only=True)
class Language:
    """Patterns of one language. `onsets` are the clusters that may begin a syllable; a single letter there always may."""

    nuclei: str
    consonants: str
    onsets: frozenset[str]
    accents: str = ""
    silent: str = r"(?!)"


def _onsets(clusters: str, *, letters: str = "bcdfghjklmnpqrstvwyz") -> frozenset[str]:
    return frozenset(clusters.split()) | frozenset(letters)


def _romance(strong: str, weak: str, apart: str, final: str = "") -> str:
    """A strong vowel with its weak neighbours, or weak ones alone; a weak one between strong ones goes with the second.

    Vowels in `apart` are nuclei of their own; `final` is weak where no vowel follows.
    """
    vowels = strong + weak + apart
    glide = f"[{weak}](?![{weak}]?[{strong}{apart}])"
    last = f"{final}(?![{vowels}])" if final else "(?!)"
    # At most two weak ones, so that a long run of them is looked at once.
    return f"[{weak}]{{0,2}}[{strong}](?:{glide}|{last})?|[{weak}](?:[{weak}]|{last})?|[{apart}]|{last}"


#: By code of ISO 639-1.
LANGUAGES: dict[str, Language] = {
    # Spelling only: English has letters for no sound and sounds for no letter.
    "en": Language(
        silent=r"(?<=[b-df-hj-np-tv-z])e$|(?<=[b-cf-hj-np-sv-z])e(?=d$)|(?<=[bdfklmnprtv])e(?=s$)",
        nuclei=(
            r"(?<=[bcdfgkpstz])le(?=[sd]?$)|eau|eue|eye|[aeo]u|[aeo]w(?![aeiouy])|[aeou]y(?![aeiou])"
            r"|ai|e[aei]|ie(?!t)|o[aeio]|u[ei]|[aeiou]|y(?![aeiou])"
        ),
        consonants=r"qu(?=[aeio])|gu(?=[aei])|[tcsg]i(?=on|ou|a[ln])|tch|ck|ch|dg(?=e)|gh|ph|sh|th|wh|x",
        onsets=_onsets(
            f"{_WITH_LIQUID} ch chr dw ph phl phr qu sc sch scr sh shr sk sl sm sn sp sph spl spr squ st str sw th thr "
            "thw tw wh ti ci si gi gu dg"
        ),
    ),
    "es": Language(
        accents="áéíóúüñ",
        nuclei=_romance("aeoáéó", "iuü", "íú", final="y"),
        consonants=r"qu(?=[eiéí])|ch|ll|rr",
        onsets=_onsets(f"{_WITH_LIQUID} ch ll rr qu", letters="bcdfghjklmnñpqrstvwxyz"),
    ),
    "it": Language(
        accents="àèéìíîòóùú",
        nuclei=_romance("aeoàèéòó", "iu", "ìíîùú"),
        consonants=r"qu(?=[aeioàèéìòó])|ch|gh|gn|gl(?=i)|sc(?=[ei])",
        # An s before a consonant goes with it: pa-sta.
        onsets=_onsets(
            f"{_WITH_LIQUID} vr ch chl chr gh ghl ghr gn qu sb sbr sc sch scl scr sd sdr sf sfr sg sgh sgr sl sm sn sp spl "
            "spr sq squ st str sv"
        ),
    ),
    "de": Language(
        accents="äöüß",
        nuclei=r"[aäe]u|[ae][iy]|ie|aa|ee|oo|[aeiouäöüy]",
        consonants=r"qu(?=[aeiouäöü])|sch|ch|ck|ph|th|ß|x",
        onsets=_onsets(
            f"{_WITH_LIQUID} ch chl chr ck kl kn kr ph phr qu sch schl schm schn schr schw th thr zw ß"
        ),
    ),
}
