"""A line of jsonl -> the messages of one conversation. A prompt with its answer is a conversation of two messages.

What a line may look like stands in the tables below; what becomes of the messages belongs in `templates.py`.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from paribus.errors import RequestError, nearest, shown
from paribus.text.data.failures import reading

MAX_LINE_BYTES = 2**28
USER, ASSISTANT, SYSTEM = "user", "assistant", "system"
ROLES = (SYSTEM, "developer", USER, ASSISTANT, "tool")
#: What other files call the roles.
_ALIASES = {"human": USER, "gpt": ASSISTANT, "chatgpt": ASSISTANT, "bot": ASSISTANT, "model": ASSISTANT}
#: Fields with a list of messages, and what these call role and content.
_CHATS = {"messages": ("role", "content"), "conversations": ("from", "value")}
#: Fields with a prompt, and with what it may be answered in.
_ANSWERS = {
    "prompt": ("completion", "response", "answer", "output"),
    "instruction": ("output", "response", "answer"),
    "question": ("answer", "response"),
    "query": ("response", "answer"),
    "input": ("output",),
}
#: What an instruction is about: it stands below it, an empty line between.
_ABOUT = {"instruction": ("input", "context")}
_BOM = b"\xef\xbb\xbf"


class Message(NamedTuple):
    role: str
    content: str


class Fields(NamedTuple):
    """The user's own names of the prompt's and the answer's field; None for the usual ones."""

    prompt: str | None = None
    answer: str | None = None


USUAL = Fields()


class Line(NamedTuple):
    """A line that is not blank, its number from 1 on, and how far into its file the reader is."""

    number: int
    content: bytes
    position: int


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a .jsonl or .jsonl.gz file. Raises `RequestError` for a broken gzip file and a line without end."""
    with reading(path), open(path, "rb") as raw:
        lines: IO[bytes] = gzip.GzipFile(fileobj=raw) if path.suffix.lower() == ".gz" else raw  # type: ignore[assignment]
        number = 0
        while True:
            try:
                content = lines.readline(MAX_LINE_BYTES + 1)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise RequestError(
                    f"{shown(path)} is a broken gzip file after line {number:,}: {error}"
                ) from error
            if not content:
                return
            number += 1
            if len(content) > MAX_LINE_BYTES:
                raise RequestError(
                    f"line {number:,} of {shown(path)} is longer than {MAX_LINE_BYTES:,} bytes: one conversation a "
                    "line, please"
                )
            content = content.removeprefix(_BOM) if number == 1 else content
            if content.strip():
                yield Line(number, content, raw.tell())


def messages_of(content: bytes, fields: Fields = USUAL) -> tuple[Message, ...]:
    """The conversation in a line, at least one message of it an answer.

    Raises `RequestError`, half a sentence about the line, if it is none: not JSON, no known field, an unknown role, a
    content that is no text, or no answer.
    """
    row = _object(content)
    for field, names in _CHATS.items():
        if fields == USUAL and field in row:
            return _chat(row[field], field, *names)
    return _pair(row, fields)


def is_chat(messages: tuple[Message, ...]) -> bool:
    """Whether it is more than one prompt and its answer."""
    return [message.role for message in messages] != [USER, ASSISTANT]


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        row = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RequestError(f"is not UTF-8: byte {error.start:,} of the line is wrong") from error
    except json.JSONDecodeError as error:
        raise RequestError(
            f"is not JSON: {error.msg.removesuffix(' at')} at column {error.colno:,}"
        ) from error
    except (RecursionError, ValueError) as error:
        raise RequestError(
            "is JSON that cannot be read: nested too deeply, or with too long a number"
        ) from error
    if not isinstance(row, dict):
        raise RequestError('is not a JSON object such as {"prompt": "...", "answer": "..."}')
    return row


def _chat(value: Any, field: str, role_name: str, content_name: str) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise RequestError(f"has no list of messages under {field!r}")
    messages = []
    for number, message in enumerate(value, start=1):
        if not isinstance(message, dict) or not {role_name, content_name} <= message.keys():
            raise RequestError(
                f"has no {role_name!r} and {content_name!r} in message {number}, as every message must"
            )
        content = _text(message[content_name], f"{content_name!r} in message {number}")
        messages.append(Message(_role(message[role_name], number), content))
    if not any(message.role == ASSISTANT and message.content for message in messages):
        raise RequestError(f"has no answer: none of its messages is from the {ASSISTANT!r} and has a text")
    return tuple(messages)


def _role(given: Any, number: int) -> str:
    role = _ALIASES.get(given, given) if isinstance(given, str) else given
    if role not in ROLES:
        known = nearest(given, ROLES) if isinstance(given, str) else "known: " + ", ".join(ROLES)
        raise RequestError(
            f"has the unknown role {shown(repr(given), at_most=60)} in message {number}; {known}"
        )
    return role


def _pair(row: Mapping[str, Any], fields: Fields) -> tuple[Message, ...]:
    prompt, answer = _names(row, fields)
    asked, answered = _text(row[prompt], repr(prompt)), _text(row[answer], repr(answer))
    about = [row[name] for name in _ABOUT.get(prompt, ()) if row.get(name) and name != answer]
    if about:
        asked += "\n\n" + _text(about[0], "what the instruction is about")
    if not answered:
        raise RequestError(f"has no answer: its {answer!r} is empty")
    system = row.get(SYSTEM)
    before = (Message(SYSTEM, _text(system, repr(SYSTEM))),) if system else ()
    return (*before, Message(USER, asked), Message(ASSISTANT, answered))


def _names(row: Mapping[str, Any], fields: Fields) -> tuple[str, str]:
    """The names of the prompt's and of the answer's field in this line."""
    every = tuple(dict.fromkeys(name for answers in _ANSWERS.values() for name in answers))
    known = _ANSWERS if fields.prompt is None else {fields.prompt: every}
    for prompt, answers in known.items():
        for answer in answers if fields.answer is None else (fields.answer,):
            if prompt in row and answer in row:
                return prompt, answer
    wanted = "'messages', nor a prompt with an answer such as 'prompt' and 'completion' or 'instruction' and 'output'"
    if fields != USUAL:
        prompt_name = "a prompt" if fields.prompt is None else repr(fields.prompt)
        wanted = f"{prompt_name} with {'an answer' if fields.answer is None else repr(fields.answer)}"
    there = ", ".join(shown(repr(name), at_most=40) for name in list(row)[:8]) or "none"
    raise RequestError(f"has no {wanted}; its fields are {there}")


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise RequestError(f"has no text under {what} but {_kind(value)}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError(f"has a lone surrogate under {what}, which has no UTF-8 form") from error
    return value


def _kind(value: Any) -> str:
    kinds = {bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), "null")
