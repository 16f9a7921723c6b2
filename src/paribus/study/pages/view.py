"""What the templates of a report read: the facts fit for display, in reading order, and the figures."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from markupsafe import Markup

from paribus.study.pages import plots, sections
from paribus.study.pages.answer import question
from paribus.study.pages.facts import Results, difference, digits, each, failed_controls, ranked, unit


def view(results: Results) -> Results:
    """The facts with what follows from them; `results` must have the shape that `report.check` asks for."""
    facts = each(results, lambda leaf: _shown(leaf) if isinstance(leaf, str) else leaf)
    facts |= {key: facts.get(key) or {} for key in ("data", "training", "environment", "statistics")}
    lists = ("controls", "warnings", "held_equal", "not_controlled", "looks", "power", "schemes")
    facts |= {key: facts.get(key) or [] for key in lists}
    facts["kind"], facts["question"] = facts.get("kind") or "compare", question(facts)
    facts |= {
        key: facts.get(key) or {} for key in ("length", "stability", "repetition", "ladder", "tokenizers")
    }
    facts["arms"], failed = ranked(facts), failed_controls(facts)
    facts["unit"] = unit(facts)
    for row in facts["arms"] + facts["controls"]:
        row["difference"] = difference(row)
        row["health_mean"] = sections.health_mean(row)
    rates = {arm["name"]: sorted(point["lr"] for point in arm.get("by_rate") or []) for arm in facts["arms"]}
    edge = [
        arm["name"]
        for arm in facts["arms"]
        if arm.get("lr") in {*rates[arm["name"]][:1], *rates[arm["name"]][-1:]}
    ]
    measured = any(arm["difference"] for arm in facts["arms"])
    level = facts["statistics"].get("confidence") or 0.95
    heat = sections.heat(facts["stability"])
    copies = [arm.get("heldout_longest_copy") for arm in facts["repetition"].get("arms") or []]
    speeds = [arm.get("effective_speedup") or {} for arm in facts["arms"]]
    return facts | {
        "failed": failed,
        "alarms": [text for text in facts["warnings"] if any(row["name"] in text for row in failed)],
        "warnings": [text for text in facts["warnings"] if not any(row["name"] in text for row in failed)],
        "training": {key: fact for key, fact in facts["training"].items() if not key.startswith("init")},
        "init": {key: fact for key, fact in facts["training"].items() if key.startswith("init")},
        "rates_tried": sorted(set().union(*rates.values())),
        "edge": edge,
        "statuses": Counter(trial["status"] for trial in facts["trials"]),
        "troubled": [trial for trial in facts["trials"] if trial["status"] != "done"],
        "measured": measured,
        "shows_verdicts": facts["kind"] != "depth" and (measured or facts["kind"] == "compare"),
        "level": f"{100 * level:.3g}\u00a0%",
        # Two one-sided tests of the same level leave twice the error outside their interval.
        "level90": f"{100 * (2 * level - 1):.3g}\u00a0%",
        "extrapolated": any(speed.get("extrapolated") and speed.get("value") is not None for speed in speeds),
        "has": (has := sections.present(facts)),
        "sizes": sections.sizes(has),
        "healthy": any(arm.get("health") for arm in facts["arms"]),
        "heat": heat,
        "ladder_compute": [
            (size["label"], name, at["compute"])
            for size in facts["ladder"].get("sizes") or []
            for name, at in size["arms"].items()
            if at.get("compute")
        ],
        "seen_outcomes": {cell["outcome"] for each in heat for row in each["rows"] for cell in row["cells"]},
        "outcomes": sections.OUTCOMES,
        "stable": sections.stable(facts["stability"]),
        "copies": any(arm.get("distinct") for arm in facts["repetition"].get("arms") or []),
        "heldout_copy": next((copy for copy in copies if copy is not None), None),
        "digits": digits(facts),
        "verdicts": plots.LOOKS,
    }


def figures(view: Results) -> Results:
    """Every figure the study has data for, as markup. Curves by depth would be those of unlike models."""
    forests = [plots.forest(view, digits=view["digits"], narrow=narrow) for narrow in (False, True)]
    compared = view["kind"] != "depth"
    return _marked(
        {
            "forest": [svg for svg in forests if svg],
            "rates": plots.rates(view) if compared else {},
            "curves": plots.curves(view) if compared else {},
            "legend": plots.legend(view) if compared else {},
            "health": (health := plots.health(view)),
            "health_legend": plots.legend(view, prefix="health-swatch") if health else {},
            "figures_length": plots.length(view),
            "figures_stability": plots.stability(view),
            "figures_repetition": plots.repetition(view),
            "figures_ladder": plots.ladder(view),
        }
    )


def _marked(drawn: Any) -> Any:
    """Nested figures as markup: what `plots` returns is escaped and complete."""
    if isinstance(drawn, dict):
        return {name: _marked(some) for name, some in drawn.items()}
    return [_marked(some) for some in drawn] if isinstance(drawn, list) else Markup(drawn)


def _shown(text: str) -> str:
    """`text` without what no page can show: control characters, lone surrogates, direction overrides."""
    return re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]", "\ufffd", text)
