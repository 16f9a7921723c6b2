"""`like: PATH` in settings: the section of a model that has the anatomy of a real one, at the scale that was asked for.

How a config is scaled is in `families`; here is what a user may say about it, and what was changed.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import RequestError, nearest
from paribus.families import native
from paribus.families.family import family_of, interpret
from paribus.families.files import open_folder
from paribus.families.files.config import read_config
from paribus.families.scaling import scaled
from paribus.model.config import ModelConfig
from paribus.model.count import params_at_any_depth
from paribus.text.tokenizers import get_tokenizer
from paribus.train.config import TrainConfig, objective_for

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
_SCALE = re.compile(r"(\d+(?:\.\d+)?(?:e\d+)?)([kmb]?)")


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """Whose anatomy a model has: where it was read, of which family, and every argument that is another here.

    `changes` has, by argument, what the original has and what stands here; `params` of both are among them.
    """

    path: str
    family: str
    scale: int | None
    changes: Mapping[str, tuple[Any, Any]]

    def sentence(self, what: str) -> str:
        """Whose anatomy `what` has, and how large it is."""
        theirs, ours = self.changes["params"]
        changed = ", ".join(
            f"{name} {each[1]}" for name, each in self.changes.items() if _is_size(name, each)
        )
        return (
            f"{what} has the anatomy of {self.path} ({self.family}) with {ours:,} parameters for its {theirs:,}, "
            f"embeddings included{f': {changed}' if changed else ''}"
        )


def read_scale(given: Any) -> int:
    """`10M`, `500K`, `1.2B` or a number, as a number of parameters. Raises `RequestError`."""
    found = _SCALE.fullmatch(str(given).strip().lower().replace("_", "").replace("e+", "e"))
    size = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if isinstance(given, bool) or not 0.5 < size < math.inf:
        raise RequestError(f"a scale is a number of parameters, such as 10M, 500K or 1.2B; it is {given!r}")
    return round(size)


def original_of(path: str) -> tuple[str, ModelConfig]:
    """The family and the model that a checkpoint's config describes; its weights need not be there."""
    at = Path(path).expanduser()
    config = read_config(at / "config.json") if (at / "config.json").is_file() else open_folder(path).config
    if native.is_native(config):
        return native.MODEL_TYPE, native.model_config(config)
    family = family_of(config)
    return family.model_type, interpret(family, config).config


def likened(
    section: Mapping[str, Any], train: TrainConfig, *, tokenizer: str
) -> tuple[dict[str, Any], Likeness]:
    """What a section with `like` and `scale` comes to: every argument of the model, and whose anatomy it is.

    All else in the section stands as it is given. The vocabulary is that of the tokenizer and the longest text that of
    a run of `train`. Raises `RequestError` for a config that describes no model, and a scale that cannot be.
    """
    given = dict(section)
    path, scale = given.pop("like", None), given.pop("scale", None)
    if not isinstance(path, str) or not path:
        raise RequestError(f"like is the folder of a checkpoint or its config.json; it is {path!r}")
    family, original = original_of(path)
    fields = {field.name for field in dataclasses.fields(ModelConfig)}
    if strange := next((key for key in given if key not in fields), None):
        raise RequestError(f"there is no setting model.{strange}; {nearest(strange, fields)}")
    objective = objective_for(train, given.get("architecture", original.architecture))
    size = None if scale is None else read_scale(scale)
    config = scaled(
        original,
        vocab_size=objective.vocab_size(get_tokenizer(tokenizer).vocab_size, seq_len=train.seq_len),
        max_seq_len=objective.lengths(train.seq_len).longest,
        size=size,
        given={key: value for key, value in given.items() if value is not None or key != "d_ff"},
    )
    return config.to_dict(), Likeness(
        path=path, family=family, scale=size, changes=_changes(original, config)
    )


def _is_size(name: str, each: tuple[Any, Any]) -> bool:
    return name != "params" and isinstance(each[1], int)


def _changes(original: ModelConfig, config: ModelConfig) -> dict[str, tuple[Any, Any]]:
    theirs, ours = original.to_dict(), config.to_dict()
    found = {name: (theirs[name], ours[name]) for name in theirs if theirs[name] != ours[name]}
    return {"params": (params_at_any_depth(original), params_at_any_depth(config))} | found
