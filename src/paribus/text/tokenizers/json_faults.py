"""What is wrong with a `tokenizer.json`: the `tokenizers` library names no component that it does not know, and of a
merge that is there twice it silently takes the last.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from paribus.errors import RequestError, nearest, shown

#: The keys of components, the library's module that has them, and where a sequence of them keeps its members.
_COMPONENTS = {
    "normalizer": ("normalizers", "normalizers"),
    "pre_tokenizer": ("pre_tokenizers", "pretokenizers"),
    "model": ("models", ""),
    "post_processor": ("processors", "processors"),
    "decoder": ("decoders", "decoders"),
}


def component_parts(tree: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    """The parts of the component `key`, those of a sequence one by one."""
    members = _COMPONENTS[key][1]
    waiting = [tree.get(key)]
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, Mapping) and part.get("type") == "Sequence":
            inside = part.get(members)
            waiting = [*(inside if isinstance(inside, list) else ()), *waiting]
        elif isinstance(part, Mapping):
            yield part


def unknown_component(content: bytes) -> str | None:
    """A sentence that names the first component that the installed library lacks; None if it has all."""
    tree = _tree(content)
    for key, (module, _) in _COMPONENTS.items():
        classes = vars(importlib.import_module(f"tokenizers.{module}")).values()
        # A component derives from the class of its kind, which is none itself.
        known = [each.__name__ for each in classes if isinstance(each, type) and len(each.__mro__) > 2]
        for part in component_parts(tree, key):
            name = part.get("type", known[0])
            if name not in known:
                offered = nearest(str(name), known)
                return f"its {key} {shown(name, at_most=40)!r} is none that tokenizers has: {offered}"
    return None


def check_json_merges(content: bytes, where: str) -> None:
    """`check_merges` for the model of a `tokenizer.json`, if it merges; `where` names the file in messages."""
    model = _tree(content).get("model")
    if not isinstance(model, Mapping) or not isinstance(merges := model.get("merges"), list):
        return
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    if all(_is_pair(pair) for pair in pairs):  # the library refuses others
        check_merges(map(tuple, pairs), where, inside=str(model.get("continuing_subword_prefix") or ""))


def check_merges(pairs: Iterable[tuple[str, ...]], where: str, *, inside: str = "") -> None:
    """Raises `RequestError` for a merge that is there twice and for one that makes what it is made of.

    `inside` stands before a piece inside a word, and falls away when it is merged.
    """
    seen = set()
    for number, pair in enumerate(pairs, 1):
        said = f"{where} cannot be used: its merge {number:,}, of {shown(' and '.join(map(repr, pair)), at_most=80)},"
        if pair in seen:
            raise RequestError(f"{said} is there twice")
        if not pair[0] or not pair[-1].removeprefix(inside):
            raise RequestError(f"{said} makes one of the two again")
        seen.add(pair)


def _is_pair(merge: object) -> bool:
    return isinstance(merge, list) and len(merge) == 2 and all(isinstance(part, str) for part in merge)


def _tree(content: bytes) -> Mapping[str, Any]:
    """What the file says, or nothing if it is not JSON: the library says so."""
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return tree if isinstance(tree, Mapping) else {}
