"""From a request to a plan: what every arm is made of, and what it takes to compare them fairly.

Parameters are matched by the width of the feed-forward layer. Where FLOPs or time are matched too, the number of
tokens gives way: every arm still completes its own schedule.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import paribus
from paribus.errors import RequestError, nearest
from paribus.model.config import ModelConfig
from paribus.model.count import on_meta, training_flops
from paribus.model.initialise import EVERYTHING, roles
from paribus.model.transformer import slot_of
from paribus.parts.init import SCHEMES
from paribus.study import environment
from paribus.study.arms import Overrides, baseline_name, laid_over, named_arms, varied
from paribus.study.match import Match, counter, match_width, usual_width
from paribus.study.plan import EXPECTED, HANDICAP, PLACEBO, Arm, Plan, planned_looks, slots_of
from paribus.study.settings import StudySettings
from paribus.study.tokenized import OwnText, check_tokenizers
from paribus.text.tokenizers import Tokenizer, get_tokenizer
from paribus.train.config import TrainConfig, objective_for
from paribus.train.probes import make_probe

#: Kinds of study whose arms get verdicts, with controls and a grid of rates that grows.
JUDGED = ("compare", "position", "repetition", "tokenizer")
_DIAGNOSTICS: dict[str, dict[str, Any]] = {"health": {"num_tokens": 4096}, "reference_time": {}}
_WIDTH = "model.d_ff"


def make_plan(
    settings: StudySettings,
    *,
    data: Mapping[str, Any],
    study: str = "ffn",
    threads: int = 1,
    throughput: Mapping[str, float] | None = None,
    own: Mapping[str, OwnText] | None = None,
) -> Plan:
    """Work out arms, widths, tokens and controls; raises `RequestError` for what cannot be compared fairly.

    `settings.train` has its dtype and compilation decided already (`train.program.resolve`): a study that
    goes on elsewhere must not change them in silence. `throughput` gives tokens a second by arm, for match=time;
    without it the arms keep the baseline's tokens, as in a draft. `own` is the text of every arm of a study of tokenizers.
    """
    for name, options in settings.probes.items():
        make_probe(name, options)  # refuses what it does not know
    named = named_arms(settings)
    baseline = baseline_name(settings, named)
    if reserved := next((name for name in named if name in EXPECTED), None):
        raise RequestError(f"{reserved!r} is the name of a control; give the part another name")
    differing = varied(named)
    _check(settings, named, differing)
    if settings.kind == "tokenizer":
        assert own is not None, "a study of tokenizers is planned when its text is prepared"
        train = settings.train
        named = {
            name: own[name].fitted(
                overrides, seq_bytes=train.seq_len, steps=train.steps, batch=train.batch_size
            )
            for name, overrides in named.items()
        }
    arms = _matched(settings, named, baseline, differing, own or {})
    if settings.match == "flops":
        cost = {arm.name: flops_per_token(arm) for arm in arms}
        arms = [_of_equal_compute(arm, arms, baseline, cost=cost) for arm in arms]
    elif settings.match == "time" and throughput is not None:
        cost = {name: 1 / speed for name, speed in throughput.items()}
        arms = [_of_equal_compute(arm, arms, baseline, cost=cost) for arm in arms]
    judged = settings.kind in JUDGED
    reference = next(arm for arm in arms if arm.name == baseline)
    if judged:
        arms += _controls(settings, reference, slots_of(differing))
    looks = planned_looks(settings.seeds, until_resolved=settings.until_resolved)
    return Plan(
        study=study,
        kind=settings.kind,
        arms=tuple(arms),
        baseline=baseline,
        varied=differing,
        rates=tuple(settings.rates),
        extend=judged,
        seeds=tuple(range(settings.base_seed, settings.base_seed + looks[-1].seeds)),
        schemes=tuple(settings.schemes or [settings.train.init_scheme]),
        looks=looks,
        matched=settings.match,
        margin=settings.margin,
        train=reference.train,
        probes={name: dict(options) for name, options in settings.probes.items()},
        diagnostics=_DIAGNOSTICS if judged else {},
        data=dict(data),
        threads=threads,
        code=code_versions(
            [value for overrides in named.values() for value in overrides.values()]
            + list(settings.model_section().values())
        ),
    )


def _check(settings: StudySettings, named: Mapping[str, Overrides], differing: Sequence[str]) -> None:
    """Refuse what contradicts itself before anything is built."""
    check_tokenizers(settings, differing)
    for scheme in settings.schemes or []:
        if scheme not in SCHEMES:
            raise RequestError(f"there is no initial scheme {scheme!r}; {nearest(scheme, SCHEMES)}")
    if settings.kind == "depth" and len(settings.schemes or []) > 1:
        raise RequestError("a study of depth runs under one initial scheme; give schemes one name")
    if settings.schemes and len(set(settings.schemes)) < len(settings.schemes):
        raise RequestError(f"schemes names one twice: {settings.schemes}")
    if _WIDTH in differing and settings.match != "none":
        raise RequestError(
            f"arms that differ in {_WIDTH} cannot be matched by {settings.match}: the width is what matching sets; "
            "say match=none to compare them as they are"
        )
    if settings.match in ("flops", "time") and "train.tokens" in differing:
        raise RequestError(
            f"arms that differ in train.tokens cannot be matched by {settings.match}, which sets the tokens"
        )
    # Of a likeness everything is given, and stands for the arms that set nothing else.
    given = settings.model_given() if settings.like is None else {}
    if clash := next(
        (key for key in differing if key.removeprefix("model.") in {"ffn"} & given.keys()), None
    ):
        raise RequestError(f"{clash} is what the arms differ in, so it cannot be set for all of them")


def _matched(
    settings: StudySettings,
    named: Mapping[str, Overrides],
    baseline: str,
    differing: Sequence[str],
    own: Mapping[str, OwnText],
) -> list[Arm]:
    """The arms at their widths."""
    section = settings.model_section()
    reference = section.pop("d_ff")
    tokenizer = own[baseline].tokenizer if own else None

    def build(overrides: Overrides, d_ff: int) -> tuple[ModelConfig, TrainConfig]:
        return configured(settings, section, overrides, d_ff, tokenizer=tokenizer)

    counted = counted_slots(differing)
    base = named[baseline]
    width = base.get(_WIDTH, reference)
    if width is None:
        width = usual_width(build(base, 1)[0])
    budget = counter(build(base, width)[0], counted)(width)
    models_differ = any(key.startswith("model.") for key in differing)
    arms = []
    for name, overrides in named.items():
        rest = {key: value for key, value in overrides.items() if key != _WIDTH}
        tokenizer = own[name].tokenizer if own else None
        if settings.match != "none" and name != baseline and models_differ:
            match = match_width(counter(build(rest, 1)[0], counted), budget=budget, name=name)
        else:
            here = overrides.get(_WIDTH, width)
            params = counter(build(rest, here)[0], counted)(here)
            match = Match(d_ff=here, params=params, mismatch=params / budget - 1)
        model, train = build(rest, match.d_ff)
        arms.append(
            Arm(
                name=name,
                overrides=overrides,
                model=model,
                train=train,
                mismatch=match.mismatch,
                data=own[name].data.sha256 if own else None,
            )
        )
    return arms


def counted_slots(differing: Sequence[str]) -> tuple[str, ...] | None:
    """The slots whose parameters are counted where arms differ in these settings; None: all of them.

    They are what is swapped, the feed-forward layers whose width gives way, and the norms of a placement, which has
    more or fewer of them. A changed size changes everything.
    """
    slots = slots_of(differing)
    if not all(key.startswith("train.") or key.removeprefix("model.") in slots for key in differing):
        return None
    return tuple(dict.fromkeys([*slots, *(["norm"] if "residual" in slots else []), "ffn"]))


def configured(
    settings: StudySettings,
    section: Mapping[str, Any],
    overrides: Overrides,
    d_ff: int,
    *,
    tokenizer: Tokenizer | None = None,
) -> tuple[ModelConfig, TrainConfig]:
    """Model and training of an arm, its vocabulary and lengths as its objective needs them."""
    tokenizer = tokenizer or get_tokenizer(settings.tokenizer)
    section, train = laid_over(overrides, section, settings.train)
    objective = objective_for(train, section["architecture"])
    vocab_size = objective.vocab_size(tokenizer.vocab_size, seq_len=train.seq_len)
    longest = objective.lengths(train.seq_len).longest
    model = ModelConfig(**{**section, "vocab_size": vocab_size, "max_seq_len": longest, "d_ff": d_ff})
    return model, dataclasses.replace(train, objective=objective.name)


def flops_per_token(arm: Arm) -> float:
    """Training FLOPs of an arm for one token of text."""
    lengths = objective_for(arm.train, arm.model.architecture).lengths(arm.train.seq_len)
    window = training_flops(on_meta(arm.model), seq_len=lengths.inputs, source_len=lengths.source)
    return window / arm.train.seq_len


def _of_equal_compute(arm: Arm, arms: Sequence[Arm], baseline: str, *, cost: Mapping[str, float]) -> Arm:
    """The arm on as many whole steps as cost what the baseline's training costs, by its cost of a token."""
    reference = next(each for each in arms if each.name == baseline)
    budget = cost[baseline] * reference.train.steps * reference.train.tokens_per_step
    steps = round(budget / cost[arm.name] / arm.train.tokens_per_step)
    tokens = arm.train.tokens if arm.name == baseline else max(steps, 2) * arm.train.tokens_per_step
    train = dataclasses.replace(arm.train, tokens=tokens)
    spent = cost[arm.name] * train.steps * train.tokens_per_step
    return dataclasses.replace(arm, train=train, compute_mismatch=spent / budget - 1)


def _controls(settings: StudySettings, reference: Arm, slots: Sequence[str]) -> list[Arm]:
    """The placebo and the handicap.

    The placebo has other draws in the swapped slots; where the baseline draws nothing there (a norm, RoPE), it
    is drawn anew as a whole.
    """
    drawn = {slot_of(name) for name, _, role, _ in roles(on_meta(reference.model)) if role.start is None}
    salted = tuple(slot for slot in slots if slot in drawn) or (EVERYTHING,)
    try:
        tokens = int(reference.train.tokens * settings.handicap)
        handicapped = dataclasses.replace(reference.train, tokens=tokens)
    except RequestError:
        raise RequestError(
            f"train.tokens {reference.train.tokens} is too little: the handicapped control trains on "
            f"{settings.handicap:.0%} of it, and that is under two steps"
        ) from None
    return [
        dataclasses.replace(reference, name=PLACEBO, salted=salted, control=True),
        dataclasses.replace(reference, name=HANDICAP, train=handicapped, control=True),
    ]


def code_versions(values: Sequence[Any]) -> dict[str, str]:
    """Versions of torch and paribus, a hash of what of paribus computes a trial, and hashes of the files that parts
    among these values are taken from."""
    return {
        "paribus": paribus.__version__,
        "paribus source": environment.source(),
        "torch": importlib.metadata.version("torch"),
        **{
            file: hashlib.sha256(Path(file).expanduser().read_bytes()).hexdigest()
            for file in sorted(_files(values))
        },
    }


def _files(value: Any) -> set[str]:
    if isinstance(value, str):
        return {value.rpartition(":")[0]} if ".py:" in value else set()
    if isinstance(value, Mapping):
        return _files(list(value.values()))
    return set().union(*map(_files, value)) if isinstance(value, Sequence) else set()
