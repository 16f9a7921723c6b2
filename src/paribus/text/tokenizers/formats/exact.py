"""What other libraries must know of our pieces so that their rules give our ids: names for all ids, and pairs that merge."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from paribus.errors import RequestError
from paribus.text.tokenizers.fallback import Fallback
from paribus.text.tokenizers.methods.bpe import CharacterBPE
from paribus.text.tokenizers.methods.sentencepiece import SentencePieces, read
from paribus.text.tokenizers.reference.applying import merge_by_rank
from paribus.text.tokenizers.reference.sentencepiece_bpe import SentencePieceBPE

_BYTES = frozenset(f"<0x{value:02X}>" for value in range(256))


def names_of(model: Fallback, specials: Collection[str], *, format: str) -> list[str]:
    """A name for each id of `model`: a piece is its text, a byte `<0x41>`, and what has no text a name of its own.

    Raises `RequestError` where a piece would share its name with a byte.
    """
    names: list[str] = []
    taken = {piece.decode("utf-8", "replace") for piece in model.pieces} | set(specials)
    for number, piece in enumerate(model.pieces):
        if model.unknown == "bytes" and number < 256:
            names.append(f"<0x{number:02X}>")
        else:
            names.append(piece.decode() or unused("<unk>", taken))
            taken.add(names[-1])
            if model.unknown == "bytes" and names[-1] in _BYTES:
                raise RequestError(
                    f"{format} writes the piece {names[-1]!r} and a byte alike, so it cannot express this"
                )
    return names


def unused(name: str, taken: Collection[str]) -> str:
    """`name`, or with more brackets around it until it is not taken."""
    while name in taken:
        name = f"<{name}>"
    return name


def pairs_of(model: SentencePieces) -> Iterator[tuple[str, str]]:
    """The two parts of each merged piece, best score first, where any two that join to a piece may merge.

    Only one pair can come to stand side by side for a piece: what is merged inside a stretch does not depend on what is
    around it, as long as nothing merges across its ends, so the parts are those that the piece alone is merged from.
    """
    assert isinstance(model.reference, SentencePieceBPE)
    tokens, found = model.reference.tokens[1:], model.reference.scores[1:]
    scores = dict(zip(map(read, tokens), found, strict=True))

    def ranked(left: str, right: str) -> tuple[float, str] | None:
        score = scores.get(left + right)
        return None if score is None else (-score, left + right)

    for piece in sorted((each for each in scores if len(each) > 1), key=lambda each: -scores[each]):
        if (pair := _last_pair(piece, ranked)) is not None:
            yield pair


def check_strings(model: CharacterBPE) -> None:
    """Raise `RequestError` unless merging whatever joins to a piece gives the pieces that merging its pairs gives.

    It does for what was trained: a piece alone is merged of the pair that made it.
    """
    ranks = {piece.decode(): number for number, piece in enumerate(model.pieces)}
    first = len(model.pieces) - len(model.trained.merges)

    def ranked(left: str, right: str) -> tuple[float, str] | None:
        rank = ranks.get(left + right, -1)
        return (rank, left + right) if rank >= first else None

    for step in model.trained.merges:
        left, right = (model.pieces[part].decode() for part in (step.left, step.right))
        if _last_pair(left + right, ranked) != (left, right):
            raise RequestError(
                f"SentencePiece merges whatever joins to {left + right!r}, and this tokenizer only {left!r} with {right!r}"
            )


def check_specials(names: Collection[str], specials: Collection[str], *, format: str) -> None:
    """Raise `RequestError` for a special token that is written like a piece: libraries know a token by how it is written."""
    if clash := sorted(set(names) & set(specials)):
        raise RequestError(
            f"{format} writes the special token {clash[0]!r} and a piece alike, so it cannot express this"
        )


def _last_pair(piece: str, ranked: Callable[[str, str], tuple[float, str] | None]) -> tuple[str, str] | None:
    """What merges to `piece` in the end, or None if it stays in parts."""
    made: dict[int, str] = {}
    pair = ("", "")

    def told(place: int, merged: str) -> None:
        nonlocal pair
        left = made.get(place, piece[place])
        pair, made[place] = (left, merged[len(left) :]), merged

    return pair if merge_by_rank(piece, ranked, told=told) == [piece] else None
