"""One verdict from several initialisations: initialisation is a factor of a study, and it is printed.

The one idea: a verdict that every scheme gives is a verdict; one that turns with the scheme is not about the
part, and is called `depends on initialisation`. Each scheme is judged by itself, as a family of its own, in
`verdict.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paribus.errors import RequestError
from paribus.study.verdicts.judgement import ArmVerdict, Judgement, Verdict


def combine(judgements: Mapping[str, Judgement]) -> dict[str, tuple[Verdict, str | None]]:
    """Verdict and reason of every arm over all initialisation schemes; `judgements` maps a scheme to its own.

    What all schemes say, with the reason of the first that has one; otherwise `depends on initialisation`,
    and the reason names what each scheme says. The baseline stays `baseline` (its reason names the schemes)
    unless it diverged in all. Since each scheme may err by itself, s schemes at 95 % call an arm without any
    effect `depends on initialisation` in up to 5 s % of studies; judge each at 1 - 0.05 / s to keep that at 5 %.
    Raises RequestError without a scheme, or when the schemes do not hold the same arms.
    """
    if not judgements:
        raise RequestError("there is no initialisation scheme to combine verdicts of")
    first = next(iter(judgements))
    names = list(judgements[first].arms)
    for scheme, judgement in judgements.items():
        if odd := sorted(set(names) ^ set(judgement.arms)):
            raise RequestError(
                f"{odd[0]} was not judged under both {first} and {scheme}; the arms must agree"
            )
    return {
        name: _combined(tuple(judgements), [judgement.arms[name] for judgement in judgements.values()])
        for name in names
    }


def _combined(schemes: Sequence[str], arms: Sequence[ArmVerdict]) -> tuple[Verdict, str | None]:
    verdicts = [arm.verdict for arm in arms]
    if len(set(verdicts)) == 1:
        return verdicts[0], next((arm.reason for arm in arms if arm.reason), None)
    said = ", ".join(f"{verdict} under {scheme}" for scheme, verdict in zip(schemes, verdicts))
    return ("baseline" if "baseline" in verdicts else "depends on initialisation"), said
