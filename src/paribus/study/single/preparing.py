"""A run from request to readiness: checked, its text prepared, planned; and all of it as a file that asks for it again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from paribus.model.count import num_params
from paribus.model.transformer import Transformer
from paribus.study.single.plan import RunPlan, Saving, decided, make_plan, saving_of
from paribus.study.single.settings import RunSettings
from paribus.study.texts import prepared_text
from paribus.text.data import check_size
from paribus.text.data.sft import is_packed, load_packed
from paribus.text.tokenizers import get_tokenizer
from paribus.train.config import objective_for
from paribus.train.examples import Data, check_packed
from paribus.train.ranks import ALONE, Ranks


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run that is ready: `weights` is the model that it begins from, if any, `ranks` the processes that train it."""

    settings: RunSettings
    plan: RunPlan
    data: Data
    saving: Saving
    weights: Transformer | None
    params: int
    ranks: Ranks = ALONE
    notes: tuple[str, ...] = field(default=())  # what was decided for the user and should be said


def make(
    settings: RunSettings,
    *,
    leave_out: Sequence[Path] = (),
    progress: Callable[[int, int], None] | None = None,
    ranks: Ranks = ALONE,
) -> Prepared:
    """Check the request, prepare the text and plan the run; cheap checks come before any long work.

    `leave_out` are folders that hold no text of the user's, `progress` is told of bytes read, `ranks` will train it
    together. Raises `RequestError`.
    """
    packed = load_packed(settings.data) if is_packed(settings.data) else None
    settings, why_eager = decided(settings)
    draft, weights = make_plan(settings, data={}, ranks=ranks)
    saving = saving_of(draft, weights, settings)
    data: Data
    if packed is not None:
        data = packed
        check_packed(data, objective_for(draft.train, draft.model.architecture), draft.train)
    else:
        data = prepared_text(
            settings, get_tokenizer(settings.tokenizer), leave_out=leave_out, progress=progress
        )
        check_size(data, seq_len=draft.train.seq_len, batch_size=draft.train.batch_size)
    described = {
        "name": data.name,
        "sha256": data.sha256,
        "bytes": data.bytes,
        "train_tokens": data.train.num_tokens,
        "tokenizer": data.tokenizer,
    }
    notes = []
    if settings.like is not None:
        notes.append(settings.like.sentence("the model"))
    if saving.why_not is not None:
        notes.append(f"the model will be saved in our own format, as {saving.why_not}")
    if lost := data.open_tokenizer().loses:
        notes.append(
            f"the tokenizer does not keep {'; '.join(lost)}: bits per byte are those of what it keeps"
        )
    if why_eager is not None:
        notes.append(f"the model will run without torch.compile, about half as fast: {why_eager}")
    return Prepared(
        settings=settings,
        plan=dataclasses.replace(draft, data=described),
        data=data,
        saving=saving,
        weights=weights,
        params=num_params(draft.model),
        ranks=ranks,
        notes=tuple(notes),
    )


def settings_file(prepared: Prepared) -> str:
    """Everything that was resolved, as a file that asks for the same run again."""
    settings, plan = prepared.settings, prepared.plan
    tree: dict[str, Any] = {
        **settings.model_dump(exclude={"model", "train", "like", "rate"}, exclude_none=True),
        "rate": plan.rate,
        "train": dataclasses.asdict(plan.train),
    }
    if settings.finetune is None:
        tree["model"] = settings.model_section() | {"d_ff": plan.model.d_ff}
    return yaml.safe_dump(json.loads(json.dumps(tree)), sort_keys=False)
