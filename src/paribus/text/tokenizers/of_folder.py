"""The tokenizer that lies in a checkpoint's folder, read from its `tokenizer.json` by the `tokenizers` library.

Chat templates are rendered in Jinja's sandbox: a template is text from a stranger.
"""

from __future__ import annotations

import datetime
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paribus.errors import ParibusError, RequestError, shown
from paribus.files.inside import inside
from paribus.files.json_object import json_object
from paribus.files.opening import bytes_of, place
from paribus.text.tokenizers.added_tokens import add_described, content_of, described_tokens
from paribus.text.tokenizers.json_faults import check_json_merges, unknown_component
from paribus.text.tokenizers.older_files import kind_in, read_older
from paribus.text.tokenizers.recipe import MOST_TOKENS
from paribus.text.tokenizers.text_only import text_only
from paribus.text.tokenizers.unicode import utf8

FILE = "tokenizer.json"
_MOST_BYTES = 256 * 2**20
_MOST_CONFIG_BYTES = 16 * 2**20


class FolderTokenizer:
    """Text to ids and back as `tokenizer.json` says, or where there is none the older files that it replaced.

    Tokens that tokenizer_config.json adds are tokens too. Raises `RequestError` for a file that is none.

    `template` is the chat template, or None where the folder has none.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise RequestError(
                "reading a checkpoint's tokenizer takes the package tokenizers: pip install 'paribus[checkpoints]'"
            ) from None
        self._config = _config(folder)
        older = None if (folder / FILE).is_file() else kind_in(folder)
        path = in_folder(folder, older or FILE)
        content = bytes_of(path, "a tokenizer", at_most=_MOST_BYTES)
        if older is None:
            check_json_merges(content, place(path))
        try:
            if older is None:
                self._tokenizer = Tokenizer.from_buffer(content)
                add_described(self._tokenizer, described_tokens(self._config).values())
            else:
                self._tokenizer = read_older(folder, older, self._config)
        except ParibusError:
            raise
        except Exception as error:
            said = (None if older else unknown_component(content)) or shown(error, at_most=200)
            raise RequestError(f"{place(path)} is no tokenizer: {said}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._of_text = text_only(self._tokenizer)
        # One more than the largest id: some files leave numbers out.
        self.vocab_size: int = max(self.ids().values(), default=-1) + 1
        if self.vocab_size > MOST_TOKENS:
            raise RequestError(
                f"{place(path)} gives a piece the id {self.vocab_size - 1:,}: at most {MOST_TOKENS:,} ids are read"
            )
        self.template = _template(folder, self._config)

    def ids(self) -> dict[str, int]:
        """The id of every piece, added tokens among them."""
        return dict(self._tokenizer.get_vocab(with_added_tokens=True))

    def special(self, name: str) -> str:
        """What tokenizer_config.json gives as `name`, for example `eos_token`; "" where it does not."""
        return content_of(self._config.get(name))

    def json(self) -> str:
        """All of the tokenizer as the library writes it, in its own spelling of old files."""
        return str(self._tokenizer.to_str())

    def encode(self, text: str, *, special: bool = False, around: bool = True) -> list[int]:
        """Ids of `text`, with what the tokenizer puts around it (a first token, perhaps) unless `around` is false.

        Names of special tokens inside the text are text, unless `special`. Raises `RequestError` for a lone surrogate,
        and for a character that the tokenizer does not know and has no token for.
        """
        return self._ids(text, special=special, around=around)

    def leaves_out(self, text: str) -> bool:
        """Whether some of `text` is in none of the words that it is cut into."""
        split = self._tokenizer.pre_tokenizer
        if split is None:
            return False
        spans = [span for _, span in split.pre_tokenize_str(text)]
        return len({place for start, end in spans for place in range(start, end)}) < len(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`, special tokens left out."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Ids of a conversation in the model's own form, up to where its answer begins.

        A message has a `role` and a `content`. Raises `RequestError` if there is no template or it refuses, and for a
        content with the name of a special token, which would become that token.
        """
        if self.template is None:
            raise RequestError("the checkpoint has no chat template; leave --chat out")
        for name, message in itertools.product(self.special_tokens, messages):
            if name in message["content"]:
                raise RequestError(
                    f"a message holds {shown(name)!r}, which would become a special token: write it otherwise, or "
                    "leave --chat out"
                )
        return self.encode_rendered(self.render(messages, answer_next=True))

    def render(
        self, messages: Sequence[Mapping[str, str]], *, answer_next: bool, template: str | None = None
    ) -> str:
        """The conversation as `template` writes it (default: its own), with `answer_next` up to where an answer begins.

        Raises `RequestError` if there is no template or it refuses.
        """
        template = self.template if template is None else template
        if template is None:
            raise RequestError("the checkpoint has no chat template")
        return _rendered(template, messages, self._config, answer_next=answer_next)

    def encode_rendered(self, text: str) -> list[int]:
        """Ids of what a chat template has written: the special tokens in it are its own."""
        return self._ids(text, special=True, around=False)

    def _ids(self, text: str, *, special: bool, around: bool) -> list[int]:
        utf8(text)
        tokenizer = self._tokenizer if special else self._of_text
        tokenizer.encode_special_tokens = not special
        try:
            return list(tokenizer.encode(text, add_special_tokens=around).ids)
        except Exception as error:  # the library looks for its unknown token only when it needs it
            raise RequestError(f"the tokenizer cannot encode this: {shown(error, at_most=200)}") from error

    @property
    def special_tokens(self) -> list[str]:
        """What a text must not hold before it goes into a template: there it would become a special token."""
        added = self._tokenizer.get_added_tokens_decoder().values()
        return [token.content for token in added if token.special]


def in_folder(folder: Path, name: str) -> Path:
    """That file of the folder. Raises `RequestError` for a link out of it."""
    return inside(folder, name, begin=f"{place(folder)} holds")


def _config(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json with special_tokens_map.json, which counts unless the first describes all added tokens."""
    named, config = _object(folder, "special_tokens_map.json"), _object(folder, "tokenizer_config.json")
    return {**named, **config} if "added_tokens_decoder" in config else {**config, **named}


def _object(folder: Path, name: str) -> dict[str, Any]:
    """That file of the folder, or nothing."""
    try:
        path = in_folder(folder, name)
        return json_object(bytes_of(path, "a config", at_most=_MOST_CONFIG_BYTES), place(path))
    except ParibusError:
        return {}


def _template(folder: Path, config: Mapping[str, Any]) -> str | None:
    if (folder / "chat_template.jinja").exists():
        path = in_folder(folder, "chat_template.jinja")
        return bytes_of(path, "a chat template", at_most=_MOST_CONFIG_BYTES).decode("utf-8", errors="replace")
    given = config.get("chat_template")
    if isinstance(given, list):  # several by name
        named = [each for each in given if isinstance(each, dict) and each.get("name") == "default"]
        given = named[-1].get("template") if named else None
    return given if isinstance(given, str) else None


def _rendered(
    template: str, messages: Sequence[Mapping[str, str]], config: Mapping[str, Any], *, answer_next: bool
) -> str:
    from jinja2.exceptions import TemplateError
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )

    class Generation(Extension):
        """{% generation %} … {% endgeneration %}, around what the model wrote: here what stands in it, and no more."""

        tags = {"generation"}  # noqa: RUF012  (as Jinja declares it)

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation]
    )
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    environment.filters["tojson"] = tojson
    # Those that there are: a template may ask whether one is defined.
    special = {key: text for key in config if key.endswith("_token") and (text := content_of(config[key]))}
    given = {**special, "messages": list(messages), "add_generation_prompt": answer_next}
    try:
        return environment.from_string(template).render(**given, tools=None, documents=None)
    except Exception as error:  # whatever goes wrong in there is the template's
        raise RequestError(f"the chat template refuses this: {shown(error, at_most=200)}") from error
