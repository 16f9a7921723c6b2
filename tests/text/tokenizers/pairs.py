"""Tokenizers of ours beside the library that reads their files."""

import random
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sentencepiece
from tokenizers import Tokenizer as Library

from paribus.text.tokenizers import Tokenizer, get_tokenizer
from paribus.text.tokenizers.formats.exporting import exported
from paribus.text.tokenizers.methods import Corpus, train_tokenizer
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.trained import TrainedTokenizer
from paribus.text.tokenizers.training import write_files

TEXT = Path(sysconfig.get_path("stdlib"), "argparse.py").read_text("utf-8")[:8000]
LINE = "Größe 猫猫 \x1f ## ### #a 123456789\r\n\r\n  x\u200cy\n"
TEXTS = (TEXT, LINE * 20)
ODD = (
    *TEXTS,
    "",
    " ",
    "<|go|> a <|endoftext|> <unk> [UNK] <s> </s> <0x41> <0x0A>",
    "\U0001f600\u2581 \u21b3a \u21b3\u21b3 \ue000 \uf8f0",
    "\x00a\x00 \x1f\x7f\ufffd",
    "e\u0301  \n\n x \u00e9",
    "##a #### a## #",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea",
    "\u0645\u06cc\u200c\u062e\u0648 \u0915\u094d\u200d\u0937 a\u200db\u200c_\u200d",
    "\u202eabc\u202c \u05e9\u05dc\u05d5\u05dd \u200f",
    "a" * 99 + "\n" * 7 + "     b\t\t  \r\n\r\n",
)


def drawn() -> list[str]:
    rng = random.Random(0)
    letters = TEXT + "Größe猫\n  \r\n\u2603é#<>\u21b3" * 100
    return ["".join(rng.choices(letters, k=rng.randrange(1, 60))) for _ in range(100)]


def trained(method: str, **fields: object) -> TrainedTokenizer:
    recipe = Recipe(method=method, **{"vocab_size": 500, "specials": ("<|go|>",), **fields})  # type: ignore[arg-type]
    return train_tokenizer(recipe, Corpus(lambda: TEXTS))


@dataclass
class Pair:
    """One of ours, the library's own of what we wrote, and ours of the same file."""

    ours: TrainedTokenizer
    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]
    again: Tokenizer

    def readings(self, text: str) -> tuple[tuple[list[int], str], ...]:
        """The ids of `text` and what they stand for: by ours, by the library and by ours again."""
        ours, again = self.ours.encode(text).tolist(), self.again.encode(text).tolist()
        theirs = self.encode(text)
        return (
            (ours, self.ours.decode(ours)),
            (theirs, self.decode(theirs)),
            (again, self.again.decode(again)),
        )


def as_json(ours: TrainedTokenizer, folder: Path) -> Pair:
    write_files(exported(ours, "tokenizer.json"), folder)
    library = Library.from_file(str(folder / "tokenizer.json"))
    library.encode_special_tokens = True
    return Pair(ours, lambda text: library.encode(text).ids, library.decode, get_tokenizer(str(folder)))


def as_sentencepiece(ours: TrainedTokenizer, folder: Path) -> Pair:
    write_files(exported(ours, "sentencepiece"), folder)
    library = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    assert library.eos_id() == ours.end_of_document
    return Pair(ours, library.encode, library.decode, get_tokenizer(str(folder)))


def of(text: str, method: str = "char", **fields: object) -> TrainedTokenizer:
    """Trained on so much of one text."""
    recipe = Recipe(method=method, **{"vocab_size": 300, "split": "none", **fields})  # type: ignore[arg-type]
    return train_tokenizer(recipe, Corpus(lambda: [text] * 30))
