"""A few segmented sentences, and segmenters trained on them."""

import pytest

from paribus.text.segmenting import METHODS, Segmenter, Sentence, sentences_of, train_segmenter

LINES = (
    "我 喜欢 北京",
    "他 在 北京 大学 学习 数学",
    "大学生 喜欢 学习",
    "我们 在 上海 生活 ， 生活 很 好 。",
    "他们 去 上海 大学 3.5 公里",
    "the quick 棕色 狐狸",
)


@pytest.fixture(scope="session")
def sentences() -> list[Sentence]:
    return sentences_of(LINES)


@pytest.fixture(scope="session")
def segmenters(sentences: list[Sentence]) -> dict[str, Segmenter]:
    """One of every method, and one for each set of rules and language."""
    made = {name: train_segmenter(name, sentences) for name in METHODS}
    made |= {f"rule {name}": train_segmenter("rule", rules=name) for name in ("scripts", "japanese")}
    made |= {f"syllable {code}": train_segmenter("syllable", language=code) for code in ("es", "it", "de")}
    return made
