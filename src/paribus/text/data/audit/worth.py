"""What a planned training is worth: its tokens as passes over different ones, and these as fresh ones by the law."""

from __future__ import annotations

from typing import Any

from paribus.errors import RequestError
from paribus.text.data.audit.law import R_STAR, effective_tokens

_CURVE = (1, 2, 4, 8, 16, 32, 64)


def check_plan(passes: float | None, tokens: float | None) -> None:
    """Raises `RequestError` if both are given, or one that is not above zero."""
    if passes is not None and tokens is not None:
        raise RequestError("a training is planned in passes or in tokens: give one of --passes and --tokens")
    for option, given in (("--passes", passes), ("--tokens", tokens)):
        if given is not None and not 0 < given < float("inf"):
            raise RequestError(f"{option} is a number above zero; it is {given:g}")


def worth(*, tokens: int, unique: int, passes: float | None, planned: float | None) -> dict[str, Any]:
    """`planned` tokens, or `passes` (1) over a source of `tokens` of which `unique` are in documents worth keeping.

    `passes` in the result is over the unique tokens, `effective` what all are worth; `curve` is the same for more passes
    over the source. Fewer tokens than there are unique ones are all fresh.
    """
    trained = planned if planned is not None else (passes or 1.0) * tokens
    effective = _effective(trained, unique)
    said = (
        f"{trained / unique:.3g} passes over {count(unique)} unique tokens are worth {count(effective)} fresh ones"
        if trained > unique
        else f"{count(trained)} tokens of {count(unique)} unique ones are all fresh"
    )
    return {
        "r_star": R_STAR,
        "unique": unique,
        "trained": trained,
        "passes": trained / unique,
        "effective": effective,
        "curve": [
            {"passes": each, "trained": each * tokens, "effective": _effective(each * tokens, unique)}
            for each in _CURVE
        ],
        "said": said,
    }


def count(number: float) -> str:
    """31 M, 2.5 G, 940."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            return f"{float(f'{number / size:.3g}'):g} {unit}"
    return f"{number:.0f}"


def _effective(trained: float, unique: int) -> float:
    return effective_tokens(trained, trained / unique) if trained > unique else trained
