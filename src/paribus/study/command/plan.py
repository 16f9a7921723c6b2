"""A study around somebody else's training program: the same protocol, with a command where our trainer was.

The command is a template (`template`) such as `python train.py --ffn {ffn} --lr {lr} --seed {seed} --out
{out}`. What the program does is its own affair: `launch` runs it, `metrics` reads what it says,
`results` says what is known of it.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paribus
from paribus.errors import RequestError, nearest
from paribus.study.command import template
from paribus.study.naming import digest, run_id, trial_name
from paribus.study.plan import EXPECTED, HANDICAP, PLACEBO, Counted, Grid, Look, check_rates, planned_looks

#: The placebo starts from seeds that no arm has: an A/A comparison without pairs.
PLACEBO_SEED_OFFSET = 1_000_003
METRIC = "val_bpb"
OWN_DATA = "the command's own data"

_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class CommandArm:
    """One setting of the varied keys. `tokens` is None where the command was given no number of them."""

    name: str
    values: Mapping[str, str]
    tokens: int | None
    seed_offset: int = 0
    control: bool = False


@dataclass(frozen=True, kw_only=True)
class CommandTrial:
    """One run of the command: an arm at a rate from a seed. `words` are its arguments before filling in."""

    arm: str
    rate: float
    seed: int
    words: tuple[str, ...]
    values: Mapping[str, str]
    budget: int | None
    seed_offset: int = 0

    @property
    def tokens(self) -> int:
        """What progress counts in: training tokens, or one for the whole trial where they are unknown."""
        return self.budget or 1

    @property
    def graph(self) -> str:
        """The same for all: nothing is compiled here, so no trial suits one worker better than another."""
        return "command"

    @property
    def name(self) -> str:
        return trial_name(self.arm, self.rate, self.seed)

    @functools.cached_property
    def key(self) -> str:
        """Hash of everything the result depends on, given the program."""
        return digest(dataclasses.asdict(self))

    def arguments(self, out: Path) -> list[str]:
        """The argument vector of this trial, which writes into `out`."""
        ours = {"lr": repr(self.rate), "seed": str(self.seed + self.seed_offset), "out": str(out)}
        if self.budget is not None:
            ours["tokens"] = str(self.budget)
        return [template.fill(word, {**self.values, **ours}) for word in self.words]

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> CommandTrial:
        raw = json.loads(text)
        return cls(**raw | {"words": tuple(raw["words"])})


@dataclass(frozen=True, kw_only=True)
class CommandPlan(Grid[CommandArm, CommandTrial]):
    """A study of a command before it runs, with the face of `plan.Plan`.

    `words` is the command before filling in, `varied` its keys in which arms differ, `metric` the key of
    metrics.jsonl that scores a trial, lower being better. `code` has the version of paribus and the content hash
    of every file that the command names.
    """

    words: tuple[str, ...]
    arms: tuple[CommandArm, ...]
    baseline: str
    varied: tuple[str, ...]
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    looks: tuple[Look, ...]
    data: Mapping[str, Any]
    threads: int
    code: Mapping[str, str]
    metric: str = METRIC
    margin: float | None = None
    study: str = "exec"
    kind: str = "compare"
    extend: bool = True
    schemes: tuple[str, ...] = ("",)
    matched: str = "none"
    format: int = field(default=_FORMAT)

    @property
    def slot(self) -> str:
        """What is varied, as part of a folder's name."""
        return "+".join(self.varied)

    @property
    def slots(self) -> tuple[str, ...]:
        """None: the keys of a command are not slots of our models, whatever they are called."""
        return ()

    @property
    def counts(self) -> Counted:
        """Training tokens, or whole trials where nobody knows how many those are."""
        return "tokens" if all(arm.tokens is not None for arm in self.arms) else "trials"

    @property
    def command(self) -> str:
        """The command as one would type it, placeholders and all."""
        return template.shown(self.words)

    def trial(self, arm: CommandArm, rate: float, seed: int, scheme: str | None = None) -> CommandTrial:
        """One trial; there is one scheme, "", which is however the program draws its first weights."""
        return CommandTrial(
            arm=arm.name,
            rate=rate,
            seed=seed,
            words=self.words,
            values=arm.values,
            budget=arm.tokens,
            seed_offset=arm.seed_offset,
        )

    def run_id(self, trial: CommandTrial) -> str:
        """What names this run anywhere: a hash of its settings and of the files that the command names."""
        return run_id(trial.key, data=self.data, threads=self.threads, code=self.code)

    @functools.cached_property
    def sha256(self) -> str:
        return digest(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def make_command_plan(
    *,
    command: str,
    vary: Mapping[str, Sequence[str]],
    rates: Sequence[float],
    seeds: int,
    baseline: str | None = None,
    base_seed: int = 0,
    metric: str = METRIC,
    tokens: int | None = None,
    handicap: float = 0.75,
    margin: float | None = None,
    until_resolved: bool = False,
    data: str | None = None,
    threads: int = 1,
) -> tuple[CommandPlan, tuple[str, ...]]:
    """The plan and what should be said about it.

    The arms are the grid of all values of `vary`, named by them (`swiglu, rmsnorm`); the first is the baseline
    unless another is named. Controls: a placebo, the baseline from other seeds, and a handicap, the baseline on
    `handicap` of the `tokens`; without `{tokens}` in the command there is none, and a note says so. `margin` and
    `until_resolved` are those of `StudySettings`. Raises `RequestError`, one sentence, for a command that cannot
    carry a study.
    """
    words = template.split(command)
    names = template.check_placeholders(words, vary, tokens)
    check_rates(rates)
    if seeds < 1:
        raise RequestError(f"seeds is {seeds}; a study needs at least 1, and a verdict 4")
    arms = _arms(vary, tokens)
    by_name = {arm.name: arm for arm in arms}
    first = arms[0].name if baseline is None else baseline
    if first not in by_name:
        raise RequestError(f"the baseline {first!r} is not among the arms; {nearest(first, by_name)}")
    reference, notes = by_name[first], template.notes(words)
    arms.append(dataclasses.replace(reference, name=PLACEBO, control=True, seed_offset=PLACEBO_SEED_OFFSET))
    if "tokens" in names:
        fewer = _less(tokens, handicap)
        arms.append(dataclasses.replace(reference, name=HANDICAP, control=True, tokens=fewer))
    else:
        notes.append("there is no handicap control: the command has no {tokens} that could be made fewer")
    looks = planned_looks(seeds, until_resolved=until_resolved)
    plan = CommandPlan(
        words=words,
        arms=tuple(arms),
        baseline=first,
        varied=tuple(vary),
        rates=tuple(map(float, rates)),
        seeds=tuple(range(base_seed, base_seed + looks[-1].seeds)),
        looks=looks,
        data={"name": data or OWN_DATA},
        threads=threads,
        code={"paribus": paribus.__version__, **template.file_hashes(words, [arm.values for arm in arms])},
        metric=metric,
        margin=margin,
    )
    return plan, tuple(notes)


def read_vary(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    r"""Keys and values from options such as `ffn=relu,swiglu`; a comma inside a value is written `\,`."""
    vary: dict[str, tuple[str, ...]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not equals or not re.fullmatch(template.NAME, key):
            raise RequestError(
                f"--vary is KEY=VALUE,VALUE, as in --vary ffn=relu,swiglu; this one is {text!r}"
            )
        if key in vary:
            raise RequestError(f"--vary names {key!r} twice; give all its values at once, by comma")
        vary[key] = tuple(value.replace("\\,", ",") for value in re.split(r"(?<!\\),", values))
    return vary


def _arms(vary: Mapping[str, Sequence[str]], tokens: int | None) -> list[CommandArm]:
    """Every combination of the values, in the order in which they were given."""
    for key, values in vary.items():
        if twice := [value for value in values if list(values).count(value) > 1]:
            raise RequestError(f"{key} is to be {twice[0]!r} twice; an arm is named once")
        for value in values:
            if "\0" in value or value != value.encode(errors="ignore").decode():
                raise RequestError(
                    f"{key} is to be {value!r}, which cannot be an argument: it is no UTF-8 text"
                )
    grid = list(itertools.product(*vary.values()))
    if len(grid) < 2:
        example = "as in --vary ffn=relu,swiglu"
        raise RequestError(
            f"fewer than two arms can be compared; vary a key over two values or more, {example}"
        )
    names = [", ".join(map(_label, values)) for values in grid]
    if reserved := EXPECTED.keys() & set(names):
        raise RequestError(f"{min(reserved)!r} is the name of a control; give the arm another name")
    return [
        CommandArm(name=name, values=dict(zip(vary, values, strict=True)), tokens=tokens)
        for name, values in zip(names, grid, strict=True)
    ]


def _less(tokens: int | None, share: float) -> int:
    assert tokens is not None
    less = int(tokens * share)
    if not 0 < less < tokens:
        raise RequestError(
            f"the handicap is {share} of {tokens} tokens; it must leave some and take some away"
        )
    return less


def _label(value: str) -> str:
    """A value as part of an arm's name: as it is where that is plain, else quoted, so that no two are alike."""
    plain = value.isprintable() and value == value.strip() and not set(value) & set('",')
    return value if value and plain else json.dumps(value)
