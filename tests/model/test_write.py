"""Text as it is written: characters of several tokens come whole, and no part of a stop string is shown."""

import itertools

import pytest
import torch

from paribus.errors import RequestError
from paribus.model.generate import generate
from paribus.model.transformer import Transformer
from paribus.model.write import Text, write
from paribus.text.tokenizers import get_tokenizer

from ..parts.comparison import draw
from .conftest import MakeConfig

PIECES = ["ab", "c", "\n", "\n\n", "end", "é"]


def of_pieces(ids: list[int]) -> str:
    return "".join(PIECES[token] for token in ids)


def of_bytes(ids: list[int]) -> str:
    return bytes(ids).decode("utf-8", errors="replace")


def of_words(ids: list[int]) -> str:
    """As SentencePiece does it: a space before every word but the first."""
    return " ".join(f"w{token}" for token in ids)


def shown(text: Text, tokens: list[int]) -> list[str]:
    return [*(text.add(token) for token in tokens), text.end()]


def test_text_comes_token_by_token() -> None:
    assert shown(Text(of_pieces), [0, 1, 4]) == ["ab", "c", "end", ""]


def test_characters_come_whole() -> None:
    assert shown(Text(of_bytes), list("aé€😀b".encode())) == [
        "a", "", "é", "", "", "€", "", "", "", "😀", "b", "",
    ]  # fmt: skip


def test_a_character_that_is_never_finished_is_shown_at_the_end() -> None:
    assert shown(Text(of_bytes), [97, 0xE2, 0x82]) == ["a", "", "", "\N{REPLACEMENT CHARACTER}"]


def test_what_is_no_text_is_not_held_back_for_ever() -> None:
    text = Text(of_bytes)
    assert "".join(text.add(0xFF) for _ in range(40))


def test_spaces_are_those_of_the_whole_text() -> None:
    assert "".join(shown(Text(of_words), [1, 2, 3])) == "w1 w2 w3"
    assert "".join(shown(Text(of_words, context=[7]), [1, 2, 3])) == " w1 w2 w3"


def test_a_space_after_a_token_without_a_text_is_kept() -> None:
    """As decoders have it that take the space at the beginning of a text away."""

    def decode(ids: list[int]) -> str:
        return "".join(["", " a", " the"][number] for number in ids).removeprefix(" ")

    for ids in itertools.product(range(3), repeat=4):
        assert "".join(shown(Text(decode), list(ids))) == decode(list(ids))


@pytest.mark.parametrize("stop", ["c\n", "b", "\n\n", "bc\n\ne", "d"])
def test_a_stop_string_and_what_follows_is_not_shown(stop: str) -> None:
    """Wherever it begins and ends in the tokens."""
    for tokens in itertools.permutations(range(5)):
        text, whole = Text(of_pieces, [stop]), of_pieces(list(tokens))
        pieces = shown(text, list(tokens))
        assert "".join(pieces) == whole.split(stop)[0]
        assert text.found == (stop if stop in whole else None)


def test_the_first_of_several_stop_strings_ends_the_text() -> None:
    text = Text(of_pieces, ["end", "c"])
    assert "".join(shown(text, [0, 1, 4])) == "ab" and text.found == "c"


def test_only_what_may_begin_a_stop_string_is_held_back() -> None:
    assert shown(Text(of_pieces, ["bcx"]), [0, 1, 1]) == ["a", "", "bcc", ""]


def test_each_token_is_decoded_with_few_others_only() -> None:
    lengths = []

    def decode(ids: list[int]) -> str:
        lengths.append(len(ids))
        return of_bytes(ids)

    shown(Text(decode), list(b"a long text of many tokens"))
    assert max(lengths) <= 2


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(RequestError, match="stop string"):
        Text(of_bytes, [""])


def model_of(make_config: MakeConfig) -> Transformer:
    model = Transformer(make_config(vocab_size=257, max_seq_len=64))
    draw(model, seed=2)
    return model


def test_what_is_written_is_the_text_of_what_is_generated(make_config: MakeConfig) -> None:
    model, decode = model_of(make_config), get_tokenizer("bytes").decode
    prompts = [[104, 101], [72, 101, 108, 108, 111]]
    rows = generate(model, prompts, max_new_tokens=30)
    pieces = list(write(model, prompts, decode=decode, max_new_tokens=30))
    for row, prompt in enumerate(prompts):
        whole = decode(rows[row][len(prompt) :].tolist())
        assert "".join(step[row] for step in pieces) == whole


def test_rows_stop_at_their_own_stop_string(make_config: MakeConfig) -> None:
    model, prompts = model_of(make_config), [[104, 101], [72, 101, 108, 108, 111]]

    def decode(ids: list[int]) -> str:
        return "".join(chr(0x4E00 + token) for token in ids)

    free = [
        "".join(row) for row in zip(*write(model, prompts, decode=decode, max_new_tokens=12), strict=True)
    ]
    stop = free[0][4:6]
    assert stop not in free[1]
    stopped = list(write(model, prompts, decode=decode, max_new_tokens=12, stop_strings=[stop]))
    assert ["".join(row) for row in zip(*stopped, strict=True)] == [free[0].split(stop)[0], free[1]]
    alone = list(write(model, prompts[:1], decode=decode, max_new_tokens=12, stop_strings=[stop]))
    assert len(alone) == 6  # the row ends with the token that ends the stop string


def test_a_stop_token_is_no_text(make_config: MakeConfig) -> None:
    model, prompt = model_of(make_config), torch.tensor([[104, 101]])
    tokens = generate(model, prompt, max_new_tokens=12)[0, 2:].tolist()
    stop = tokens[5]
    pieces = write(
        model, prompt, decode=lambda ids: "".join(f"<{i}>" for i in ids), max_new_tokens=12, stop=stop
    )
    assert "".join(step[0] for step in pieces) == "".join(f"<{i}>" for i in tokens[: tokens.index(stop)])
    assert torch.is_grad_enabled()


def test_what_ends_a_row_may_be_told_beside(make_config: MakeConfig) -> None:
    model, asked = model_of(make_config), []

    def ends(row: int, token: int) -> bool:
        asked.append((row, token))
        return len(asked) == 3

    pieces = list(write(model, [[104, 101]], decode=of_words, max_new_tokens=12, ends=ends))
    assert len(asked) == 3 and len(pieces) == 3
