"""Who is compared: a method at a size, trained here, or a tokenizer that is there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paribus.errors import RequestError, nearest
from paribus.text.tokenizers import get_tokenizer, located
from paribus.text.tokenizers.methods import get_method
from paribus.text.tokenizers.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Contender:
    """`recipe` is what it is trained by here, `path` where one lies that was trained elsewhere; one of them is None."""

    label: str
    recipe: Recipe | None = None
    path: str | None = None

    def to_dict(self) -> dict[str, Any]:
        recipe = None if self.recipe is None else self.recipe.to_dict()
        return {"label": self.label, "recipe": recipe, "path": self.path}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Contender:
        """What `to_dict` gave."""
        fields = raw["recipe"]
        recipe = None if fields is None else Recipe(**{**fields, "specials": tuple(fields["specials"])})
        return cls(label=raw["label"], recipe=recipe, path=raw["path"])


def contenders(
    methods: Sequence[str], sizes: Sequence[int], paths: Sequence[str] = (), **same: Any
) -> tuple[Contender, ...]:
    """Every method at every size by one recipe, of which `same` are the other fields, then the tokenizers at `paths`.

    An option goes to the methods that have it. Raises `RequestError` for an unknown method or option, for one given
    twice, and if there is nobody to compare.
    """
    if twice := next((each for each in (*methods, *paths) if [*methods, *paths].count(each) > 1), None):
        raise RequestError(f"{twice!r} is given twice; each is compared once")
    if len(set(sizes)) < len(sizes):
        raise RequestError(f"a vocabulary size is given twice: {', '.join(f'{size:,}' for size in sizes)}")
    options = dict(same.pop("options", {}))
    allowed = {name: get_method(name).options or {} for name in methods}
    known = {option for each in allowed.values() for option in each}
    if unknown := sorted(set(options) - known):
        raise RequestError(
            f"none of {', '.join(methods) or 'the methods'} has an option {unknown[0]!r}"
            + (f": {nearest(unknown[0], known)}" if known else "")
        )
    made = [
        Contender(
            label=f"{name}:{size}",
            recipe=Recipe(
                method=name,
                vocab_size=size,
                options={key: value for key, value in options.items() if key in allowed[name]},
                **same,
            ),
        )
        for name in methods
        for size in sizes
    ]
    for path in paths:
        get_tokenizer(path)  # one that cannot be opened is refused before any long work
    made += [Contender(label=path, path=located(path)) for path in paths]
    if not made:
        raise RequestError("there is nothing to compare: give methods or tokenizers")
    return tuple(made)
