"""The page of a calibration: the numbers of `simulation.py` and `bank.py` as Markdown, and what passed.

The page is a view of one plain document, the same that `paribus bench verdict --json` prints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from paribus.study.calibration.bank import HANDICAP, POWER_LIMIT, POWER_SEEDS
from paribus.study.calibration.simulation import FALSE_LIMIT, LOOKS

Document = Mapping[str, Any]


def verdict_of(settings: Sequence[Document], bank: Document | None) -> tuple[bool, list[str]]:
    """Whether the pass line holds, and a sentence for each half of it.

    Every held setting must have its upper limit of the false-verdict rate at or below 6 %; with a bank, the
    handicap must be found in at least 90 % of its 10-seed studies.
    """
    worst = max((row for row in settings if row["held"]), key=lambda row: row["false_upper"])
    quiet = worst["false_upper"] <= FALSE_LIMIT
    over = [row["name"] for row in settings if row["held"] and row["false_upper"] > FALSE_LIMIT]
    sentences = [
        f"In {sum(row['held'] for row in settings)} of {len(settings)} kinds of simulated studies, those held to it, the "
        f"upper limit of the false-verdict rate is at most {percent(worst['false_upper'], 2)} (it may be "
        f"{percent(FALSE_LIMIT, 0)}); the worst is “{worst['name']}” with {worst['false']} false of {worst['studies']}"
        + (f", one of {len(over)} over the limit." if len(over) > 1 else ".")
    ]
    if bank is None:
        return quiet, [*sentences, "No bank was given, so nothing is said of real losses."]
    (size,) = [row for row in bank["sizes"] if row["seeds"] == POWER_SEEDS]
    (handicap,) = [row for row in size["found"] if row["arm"] == HANDICAP]
    sentences.append(
        f"The handicap was found in {percent(handicap['rate'], 1)} of the {POWER_SEEDS}-seed studies from the bank "
        f"(at least {percent(POWER_LIMIT, 0)} must be)."
    )
    return quiet and handicap["rate"] >= POWER_LIMIT, sentences


def page(document: Document) -> str:
    """The whole page as Markdown."""
    import jinja2

    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.ChainableUndefined
    )
    environment.filters |= {"percent": percent, "rate": rate}
    text = (resources.files("paribus.study.pages") / "templates" / "calibration.md.j2").read_text()
    bank = document["bank"]
    filled = environment.from_string(text).render(
        document,
        false_limit=FALSE_LIMIT,
        looks=[{"seeds": seeds, "alpha": alpha} for seeds, alpha in LOOKS],
        disjoint=" or ".join(f"{bank['seeds'] // row['seeds']}" for row in bank["sizes"]) if bank else "",
        found_in_bank=headings(bank) if bank else [],
    )
    return filled.rstrip() + "\n"


def headings(bank: Document) -> list[str]:
    """The arms that should be found, each with its share of the baseline's tokens where that is less."""
    shares = {row["arm"]: row["tokens"] for row in bank["differences"]}
    names = [row["arm"] for row in bank["sizes"][0]["found"]]
    return [
        f"{name} ({percent(share, 0)} of the tokens)" if (share := shares.get(name) or 1) < 1 else name
        for name in names
    ]


def percent(share: float, digits: int) -> str:
    return f"{100 * share:.{digits}f} %"


def rate(row: Document, digits: int = 1) -> str:
    """A proportion and its interval, as in `95.1 % (94.0 to 96.0)`."""
    low, high = row["ci95"]
    return f"{100 * row['rate']:.{digits}f} % ({100 * low:.{digits}f} to {100 * high:.{digits}f})"
