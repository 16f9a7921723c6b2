"""How often the verdicts of a study are wrong: simulated studies through the real `judge`.

The one idea: nothing of the verdict is computed here a second time. Tables of losses whose truth is known
are drawn, grown where `needs_extension` asks for it as a study's grid is, and judged; then it is counted
how often a verdict was false and how often a true difference was found. Losses are in units of the standard
deviation of one trial, since a verdict does not depend on the unit. Real losses are for `bank.py`.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import special

from paribus.errors import RequestError
from paribus.study.calibration.parallel import Processes
from paribus.study.verdicts.looks import LOOKS
from paribus.study.verdicts.statistics import Floats
from paribus.study.verdicts.verdict import CONTROLS, Judgement, judge, needs_extension

FALSE_LIMIT = 0.06  # what the upper limit of the false-verdict rate may be
CONFIDENCE = 0.95
FEWEST = 49  # simulations below which even none false would leave the upper limit above FALSE_LIMIT
GROWTHS = 4  # engine.MAX_EXTENSIONS; importing it would bring torch into every process
BASELINE = "baseline"

_CHUNK = 250  # studies of a job: under a second, so that Ctrl-C is heard
_LEVEL = 100.0  # loss of the baseline at its optimum; far from zero, as losses are
_BLOCK = 0.5  # sd of what a seed does to all arms alike; the verdict takes it out

CONTROL_TRUTH = {"placebo": 0.0, "handicap": 6.0}
NULL_ARMS = {"arm 1": 0.0, "arm 2": 0.0, "arm 3": 0.0} | CONTROL_TRUTH
TRUE_ARMS = {"arm 1": -1.0, "arm 2": -2.0, "arm 3": -3.0} | CONTROL_TRUTH
EQUAL_ARMS = {f"arm {n}": 0.0 for n in range(1, 5)} | {"placebo": 0.0}
_PAIRED = {"arm 1": 0.95, "arm 2": 0.95}
NINE = {f"arm {n}": 0.0 for n in range(1, 10)}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A kind of study whose truth is known; everything in sd of one trial, rates in steps of the grid.

    `truth` is each arm's true difference from the baseline. `looks` are the seeds judged and the alpha
    spent at each, in order. An arm's loss is truth + depth (step - place)^2 + noise, where depth and place
    of the valley are drawn for every arm and study, uniformly; `baseline_place` fixes the baseline's.
    `correlation` is that of the noise of a seed at two rates, `tails` the degrees of freedom of Student
    noise (None: normal), `noisier` what multiplies an arm's noise, `paired` its correlation with the baseline's.
    `held`: the pass line is about it; not where noise is of a kind that pooled intervals do not allow for and that few
    seeds may hide, which is shown only.
    """

    name: str
    about: str
    truth: Mapping[str, float] = field(default_factory=lambda: NULL_ARMS)
    rates: int = 3
    looks: Sequence[tuple[int, float]] = ((4, 0.05),)
    depth: tuple[float, float] = (2.0, 5.0)
    place: tuple[float, float] = (-0.2, 0.2)
    baseline_place: float | None = None
    correlation: float = 0.5
    tails: float | None = None
    noisier: Mapping[str, float] = field(default_factory=dict)
    paired: Mapping[str, float] = field(default_factory=dict)
    held: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        return (BASELINE, *self.truth)

    @property
    def controls(self) -> tuple[str, ...]:
        return tuple(name for name in self.truth if name in CONTROLS)

    @property
    def steps(self) -> Floats:
        """Every rate that the grid can grow to, counted from the middle of the first one."""
        reach = self.rates // 2 + GROWTHS
        return np.arange(-reach, reach + 1.0)


def _looks(seeds: int) -> tuple[tuple[int, float], ...]:
    return ((seeds, 0.05),)


#: The first is the main one: the shape of the default study.
SETTINGS = (
    Setting(name="default", about="6 arms, 3 rates, 4 seeds; the handicap differs"),
    Setting(
        name="nothing differs", about="the same, and the handicap is one more equal arm", truth=EQUAL_ARMS
    ),
    Setting(name="8 seeds", about="twice the seeds", looks=_looks(8)),
    Setting(name="5 rates", about="five rates", rates=5),
    Setting(name="5 rates, 8 seeds", about="five rates, twice the seeds", rates=5, looks=_looks(8)),
    Setting(name="independent rates", about="noise is new at every rate", correlation=0.0),
    Setting(
        name="bound rates", about="noise nearly the same at every rate (correlation 0.9)", correlation=0.9
    ),
    Setting(name="tied optima", about="two rates tie in every arm", place=(0.5, 0.5)),
    Setting(
        name="tied baseline", about="two rates tie in the baseline only", place=(0, 0), baseline_place=0.5
    ),
    Setting(
        name="different optima", about="each arm's optimum anywhere within half a step", place=(-0.5, 0.5)
    ),
    Setting(name="far optima", about="optima up to 2.5 steps off: the grid must grow", place=(-2.5, 2.5)),
    Setting(name="shallow valley", about="a step from the best rate costs one sd", depth=(1, 1)),
    Setting(name="shallow, 8 seeds", about="the same, twice the seeds", depth=(1, 1), looks=_looks(8)),
    Setting(name="2 arms", about="one arm beside baseline and controls", truth={"arm": 0} | CONTROL_TRUTH),
    Setting(name="12 arms", about="nine arms beside baseline and controls", truth=NINE | CONTROL_TRUTH),
    Setting(name="three looks", about="4, 8 and 16 seeds as one sequence", looks=LOOKS),
    Setting(name="heavy tails", about="Student noise, 4 degrees of freedom", tails=4.0, held=False),
    Setting(
        name="noisy handicap", about="the handicap has twice the sd", noisier={"handicap": 2.0}, held=False
    ),
    Setting(
        name="arm 1.5x as noisy",
        about="an equal arm has 1.5 times the sd",
        noisier={"arm 3": 1.5},
        held=False,
    ),
    Setting(
        name="arm 3x as noisy",
        about="an equal arm has three times the sd",
        noisier={"arm 3": 3.0},
        held=False,
    ),
    Setting(
        name="arm 3x, 8 seeds",
        about="the same, twice the seeds",
        noisier={"arm 3": 3.0},
        looks=_looks(8),
        held=False,
    ),
    Setting(
        name="two arms 3x, 8 seeds",
        about="two equal arms have three times the sd, eight seeds",
        noisier={"arm 2": 3.0, "arm 3": 3.0},
        looks=_looks(8),
        held=False,
    ),
    Setting(
        name="baseline 3x as noisy",
        about="the baseline has three times the sd",
        noisier={BASELINE: 3.0},
        held=False,
    ),
    Setting(
        name="baseline 3x, 8 seeds",
        about="the same, twice the seeds",
        noisier={BASELINE: 3.0},
        looks=_looks(8),
        held=False,
    ),
    Setting(
        name="paired arms",
        about="two equal arms have noise correlated 0.95 with the baseline's",
        paired=_PAIRED,
        held=False,
    ),
    Setting(
        name="paired arms, 8 seeds",
        about="the same, twice the seeds",
        paired=_PAIRED,
        looks=_looks(8),
        held=False,
    ),
)
#: How often a true difference is found: arms 1, 2, 3 are better by 1, 2, 3 sd, the handicap worse by 6.
POWER_SETTINGS = tuple(
    Setting(name=name, about="three arms are truly better", truth=TRUE_ARMS, looks=looks)
    for name, looks in (
        ("4 seeds", _looks(4)),
        ("8 seeds", _looks(8)),
        ("16 seeds", _looks(16)),
        ("4, 8 and 16 seeds as one sequence", LOOKS),
    )
)


def draw(setting: Setting, rng: np.random.Generator) -> Floats:
    """Losses [arms, rates, seeds] of one study at every rate that its grid could grow to, baseline first."""
    arms, seeds, steps = len(setting.names), setting.looks[-1][0], setting.steps
    place, depth = rng.uniform(*setting.place, arms), rng.uniform(*setting.depth, arms)
    if setting.baseline_place is not None:
        place[0] = setting.baseline_place
    truth = np.array([0.0, *setting.truth.values()])
    valley = truth[:, None] + depth[:, None] * (steps - place[:, None]) ** 2
    share, sd = setting.correlation, np.array([setting.noisier.get(name, 1.0) for name in setting.names])
    common, own = (_noise(rng, (arms, rows, seeds), setting.tails) for rows in (1, len(steps)))
    noise = np.sqrt(share) * common + np.sqrt(1 - share) * own
    along = np.array([setting.paired.get(name, 0.0) for name in setting.names])[:, None, None]
    noise = along * noise[0] + np.sqrt(1 - along**2) * noise
    block = _BLOCK * rng.standard_normal(seeds)
    return _LEVEL + valley[:, :, None] + sd[:, None, None] * noise + block


def _noise(rng: np.random.Generator, shape: tuple[int, ...], tails: float | None) -> Floats:
    if tails is None:
        return rng.standard_normal(shape)
    return rng.standard_t(tails, shape) * np.sqrt((tails - 2) / tails)


def said(judgement: Judgement, name: str) -> str | None:
    """`better` or `worse` if the study found that of an arm or a control, else None."""
    if (arm := judgement.arms.get(name)) is not None:
        return arm.verdict if arm.verdict in ("better", "worse") else None
    control = judgement.controls[name]
    if control.ok is None or (d := control.difference) is None or d.low <= 0 <= d.high:
        return None
    return "better" if d.high < 0 else "worse"


def is_false(word: str | None, truth: float) -> bool:
    """A verdict on an arm that does not differ, or one that has the direction wrong."""
    return word is not None and (truth == 0 or (word == "worse") != (truth > 0))


def study(setting: Setting, tables: Floats) -> Counter[str]:
    """Judge one study at each of its looks, and count 1 for whatever happened.

    `false`: some arm got a false verdict at some look, whatever came after, so the rate bounds that of every
    rule for stopping between looks. `found NAME`: a true difference was found at some look. `withheld`: some
    arm got no verdict at the last look although its interval was not asked. `grown`: the grid grew. `unpooled`:
    no one variance was that of all arms.
    """
    middle, half = len(setting.steps) // 2, setting.rates // 2
    low, high, growths = middle - half, middle + half + 1, 0
    counts = Counter(studies=1)
    for seeds, alpha in setting.looks:
        while True:
            rates = 2.0 ** setting.steps[low:high]
            losses = dict(zip(setting.names, tables[:, low:high, :seeds], strict=True))
            judgement = judge(
                losses, rates=rates, baseline=BASELINE, controls=setting.controls, level=1 - alpha
            )
            if not judgement.edges or growths == GROWTHS:
                break
            direction = needs_extension(losses, rates)
            low, high = low - (direction in ("low", "both")), high + (direction in ("high", "both"))
            growths += 1
        for name, truth in setting.truth.items():
            word = said(judgement, name)
            if is_false(word, truth):
                counts["false"] = 1
            elif word is not None:
                counts[f"found {name}"] = 1
    everyone = judgement.arms | judgement.controls
    counts["withheld"] = int(any(scored.reason for scored in everyone.values()))
    counts["grown"], counts["unpooled"] = int(growths > 0), int(judgement.method in ("welch", "paired"))
    return counts


@dataclass(frozen=True, kw_only=True)
class _Job:
    setting: Setting
    seed: int
    number: int
    studies: int

    def run(self) -> Counter[str]:
        # A generator for each job, so that the numbers do not depend on which process runs it, nor when.
        rng = np.random.default_rng([self.seed, zlib.crc32(repr(self.setting).encode()), self.number])
        total: Counter[str] = Counter()
        for _ in range(self.studies):
            total.update(study(self.setting, draw(self.setting, rng)))
        return total


def simulate(
    setting: Setting,
    simulations: int,
    *,
    seed: int,
    processes: Processes,
    progress: Callable[[int], None] = lambda more: None,
) -> dict[str, Any]:
    """Counts and rates of `simulations` studies of one setting, as plain data.

    `false_rate` has its exact upper 95 % limit `false_upper` (one-sided); each of `found` its exact 95 %
    interval. The same seed gives the same numbers with any number of processes. `progress` gets the
    studies done since its last call. Raises `RequestError` for too few simulations to show anything.
    """
    check_simulations(simulations)
    sizes = [min(_CHUNK, simulations - at) for at in range(0, simulations, _CHUNK)]
    jobs = [
        _Job(setting=setting, seed=seed, number=number, studies=size) for number, size in enumerate(sizes)
    ]
    waiting = iter(sizes)
    counts: Counter[str] = Counter()
    for part in processes.map(_Job.run, jobs, progress=lambda done: progress(next(waiting))):
        counts.update(part)
    found = [
        {"arm": name, "difference": truth, **rate(counts[f"found {name}"], simulations)}
        for name, truth in setting.truth.items()
        if truth
    ]
    return {
        "name": setting.name,
        "about": setting.about,
        "arms": len(setting.names),
        "rates": setting.rates,
        "looks": [{"seeds": seeds, "alpha": alpha} for seeds, alpha in setting.looks],
        "held": setting.held,
        "studies": simulations,
        "false": counts["false"],
        "false_rate": counts["false"] / simulations,
        "false_upper": upper_limit(counts["false"], simulations),
        "found": found,
        **{key: counts[key] / simulations for key in ("withheld", "grown", "unpooled")},
    }


def check_simulations(simulations: int) -> None:
    """Raise `RequestError` if so few could not show that the pass line holds."""
    if simulations < FEWEST:
        raise RequestError(
            f"{simulations} simulations cannot show a false-verdict rate below {FALSE_LIMIT:.0%}; "
            f"at least {FEWEST} can, and 20000 are usual"
        )


def upper_limit(count: float, of: float) -> float:
    """Exact one-sided upper 95 % limit of a proportion. Source: Clopper and Pearson 1934."""
    return 1.0 if count >= of else float(special.betaincinv(count + 1, of - count, CONFIDENCE))


def exact_interval(count: float, of: float) -> tuple[float, float]:
    """Exact two-sided 95 % interval of a proportion; counts need not be whole (see `bank.py`)."""
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if count <= 0 else float(special.betaincinv(count, of - count + 1, tail))
    high = 1.0 if count >= of else float(special.betaincinv(count + 1, of - count, 1 - tail))
    return low, high


def rate(count: int, of: int) -> dict[str, Any]:
    """A proportion with its exact interval, as plain data."""
    return {"count": count, "rate": count / of, "ci95": list(exact_interval(count, of))}
