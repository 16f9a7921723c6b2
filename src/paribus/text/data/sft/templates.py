"""Messages -> token ids, and which of them are an answer's.

Two of our own write a conversation piece by piece. The others are a model's chat template, in Jinja: what of its text
is an answer is found by rendering prefix by prefix, as the model will see it when it has to answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError, nearest, shown
from paribus.text.data.failures import reading
from paribus.text.data.sft.rows import ASSISTANT, Message, is_chat
from paribus.text.tokenizers import TokenArray, Tokenizer

PLAIN, CHATML, OWN = "plain", "chatml", "own"
_JINJA = ".jinja"


class Encoded(NamedTuple):
    """A conversation: `ids` [n], and `answer` [n], true for what the model is to write itself."""

    ids: TokenArray
    answer: npt.NDArray[np.bool_]


class Template(Protocol):
    """How conversations are written."""

    @property
    def name(self) -> str:
        """What is recorded with the data."""

    def encode(self, messages: Sequence[Message]) -> Encoded:
        """Raises `RequestError`, half a sentence about the line, for what it cannot write."""


@runtime_checkable
class ChatTokenizer(Protocol):
    """What a tokenizer has beside the `Tokenizer` protocol that comes with a chat template."""

    @property
    def template(self) -> str | None:
        """Its own chat template, if it has one."""

    @property
    def special_tokens(self) -> Sequence[str]:
        """The names of tokens that no text of a user may become."""

    def render(
        self, messages: Sequence[dict[str, str]], *, answer_next: bool, template: str | None = None
    ) -> str:
        """The conversation as the template writes it; with `answer_next` up to where the next answer begins."""

    def encode_rendered(self, text: str) -> Sequence[int]:
        """Ids of what a template has written: names of special tokens are those tokens."""


def get_template(name: str | None, tokenizer: Tokenizer, first: Sequence[Message]) -> Template:
    """The template called `name`, or the one that fits: the tokenizer's own, else `plain` or, for chats, `chatml`.

    `name` may also be a .jinja file. `first` is a conversation of the data. Raises `RequestError` for an unknown name
    and for a Jinja template where the tokenizer cannot take one.
    """
    chat = tokenizer if isinstance(tokenizer, ChatTokenizer) else None
    if name is None:
        has_own = chat is not None and chat.template is not None
        name = OWN if has_own else CHATML if is_chat(tuple(first)) else PLAIN
    if name in _PIECES:
        return Pieces(name, tokenizer)
    if name != OWN and not name.endswith(_JINJA):
        raise RequestError(
            f"there is no chat template {name!r}: {nearest(name, (*_PIECES, OWN))}, or a file whose name ends with "
            f"{_JINJA}"
        )
    if chat is None or (name == OWN and chat.template is None):
        raise RequestError(
            f"the tokenizer {tokenizer.name!r} has no chat template of its own and none of its tokens are a chat's: "
            f"take --chat-template {CHATML} or {PLAIN}"
        )
    return Jinja(name, chat, None if name == OWN else _read(Path(name)))


class Pieces:
    """A template of ours: pieces of text, each encoded by itself, and the end of the document.

    A piece is where the model begins to write, or where it ends, so no token spans the two. Names of special tokens
    inside a text are text.
    """

    def __init__(self, name: str, tokenizer: Tokenizer) -> None:
        self.name = name
        self._pieces, self._tokenizer = _PIECES[name], tokenizer
        # The end is part of the answer: else the model would never learn to stop.
        self._end = np.array([tokenizer.end_of_document], dtype=np.uint32)

    def encode(self, messages: Sequence[Message]) -> Encoded:
        ids: list[TokenArray] = []
        answer: list[npt.NDArray[np.bool_]] = []
        is_answer = False
        for text, is_answer in self._pieces(messages):
            found = np.asarray(self._tokenizer.encode(text))
            ids.append(found)
            answer.append(np.full(len(found), is_answer))
        ids.append(self._end)
        answer.append(np.array([is_answer]))
        return Encoded(np.concatenate(ids), np.concatenate(answer))


def _plain(messages: Sequence[Message]) -> list[tuple[str, bool]]:
    if is_chat(tuple(messages)):
        roles = ", ".join(message.role for message in messages[:6])
        raise RequestError(
            f"is a chat ({roles}), and the template 'plain' is for one prompt and its answer: take --chat-template chatml"
        )
    return [(message.content, message.role == ASSISTANT) for message in messages]


def _chatml(messages: Sequence[Message]) -> list[tuple[str, bool]]:
    pieces = []
    for message in messages:
        pieces.append((f"<|im_start|>{message.role}\n", False))
        if message.role == ASSISTANT:
            pieces.append((f"{message.content}<|im_end|>", True))
            pieces.append(("\n", False))
        else:
            pieces[-1] = (f"<|im_start|>{message.role}\n{message.content}<|im_end|>\n", False)
    if messages[-1].role == ASSISTANT:
        pieces.pop()  # nothing stands between the last answer and the end
    return pieces


_PIECES: dict[str, Callable[[Sequence[Message]], list[tuple[str, bool]]]] = {PLAIN: _plain, CHATML: _chatml}


@dataclass(frozen=True)
class Jinja:
    """A chat template in Jinja, the tokenizer's own or another: nothing is added to what it writes.

    An answer is what rendering with it adds to rendering up to it. That the earlier text and its tokens stay what they
    were is checked each time: a template may rewrite earlier messages, and a token may span the two.
    """

    name: str
    tokenizer: ChatTokenizer
    template: str | None

    def encode(self, messages: Sequence[Message]) -> Encoded:
        self._refuse_special(messages)
        whole = self._render(messages, answer_next=False)
        ids = np.asarray(self.tokenizer.encode_rendered(whole), dtype=np.uint32)
        answer = np.zeros(len(ids), dtype=np.bool_)
        for number, message in enumerate(messages):
            if message.role == ASSISTANT:
                start = self._length(messages[:number], ids, whole, number, answer_next=True)
                end = self._length(messages[: number + 1], ids, whole, number, answer_next=False)
                answer[start:end] = True
        return Encoded(ids, answer)

    def _length(
        self, messages: Sequence[Message], ids: TokenArray, whole: str, number: int, *, answer_next: bool
    ) -> int:
        """How many of the conversation's first tokens these messages are."""
        text = self._render(messages, answer_next=answer_next)
        found = self.tokenizer.encode_rendered(text)
        where = "before" if answer_next else "up to the end of"
        if not whole.startswith(text):
            raise RequestError(
                f"is written otherwise {where} message {number + 1} once the chat goes on, so that nothing says which "
                "tokens are the answer: the chat template rewrites earlier messages; split the chat after each answer"
            )
        if len(found) > len(ids) or not np.array_equal(ids[: len(found)], np.asarray(found, dtype=np.uint32)):
            raise RequestError(
                f"has other tokens {where} message {number + 1} once the chat goes on: a token spans the border of "
                "the answer"
            )
        return len(found)

    def _render(self, messages: Sequence[Message], *, answer_next: bool) -> str:
        written = [message._asdict() for message in messages]
        return self.tokenizer.render(written, answer_next=answer_next, template=self.template)

    def _refuse_special(self, messages: Sequence[Message]) -> None:
        for number, message in enumerate(messages, start=1):
            for token in self.tokenizer.special_tokens:
                if token in message.content:
                    raise RequestError(
                        f"has the special token {shown(token)} as text in message {number}, which would become that token"
                    )


def _read(path: Path) -> str:
    try:
        with reading(path):
            return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"the chat template {shown(path)} is not UTF-8 text") from error
