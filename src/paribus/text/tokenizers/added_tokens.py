"""Tokens that a checkpoint has beside its vocabulary, as its tokenizer_config.json describes them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeAlias

_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_HOW = ("single_word", "lstrip", "rstrip", "normalized")

#: The text of a token, and what is said of it.
Described: TypeAlias = tuple[str, Mapping[str, Any]]


def content_of(token: object) -> str:
    """A special token, written as itself or as an object with its content; "" for what is none."""
    if isinstance(token, Mapping):
        token = token.get("content")
    return token if isinstance(token, str) else ""


def named_tokens(config: Mapping[str, Any]) -> set[str]:
    """The special tokens that a config names."""
    more = config.get("additional_special_tokens")
    given = [*(config.get(key) for key in _NAMED), *(more if isinstance(more, list) else [])]
    return {text for each in given if (text := content_of(each))}


def described_tokens(config: Mapping[str, Any]) -> dict[int, Described]:
    """What `added_tokens_decoder` says, by id, in the order of the ids."""
    given = config.get("added_tokens_decoder")
    found = {
        int(number): (text, token)
        for number, token in (given.items() if isinstance(given, Mapping) else ())
        if isinstance(token, Mapping) and str(number).isdecimal() and (text := content_of(token))
    }
    return dict(sorted(found.items()))


def add_described(tokenizer: Any, tokens: Iterable[Described], *, special: Collection[str] = ()) -> None:
    """Give the library's tokenizer these tokens, as `special` where they are among them or say so.

    What it has keeps its id and becomes what is said here; the others get the ids after its last, in this order.
    """
    from tokenizers import AddedToken

    for text, token in tokens:
        how = {"normalized": False} | {key: bool(token[key]) for key in _HOW if key in token}
        added = AddedToken(text, special=text in special or bool(token.get("special")), **how)
        (tokenizer.add_special_tokens if added.special else tokenizer.add_tokens)([added])
