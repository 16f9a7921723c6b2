"""The result of a study in one sentence, composed from what was found and nothing else.

One composer to a kind of study, in `_KINDS`; a study whose own section is missing is answered from its
verdicts, and one without verdicts says that nothing can be said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from paribus.study.pages.facts import Results, difference, digits, failed_controls, ranked, unit
from paribus.study.pages.plots import signed

# What an answer says of one arm, and of several; in the order in which a reader wants to know.
_SAID = {
    "better": ("is better than {}", "are better than {}"),
    "worse": ("is worse than {}", "are worse than {}"),
    "same": ("is the same as {} within the margin", "are the same as {} within the margin"),
    "depends on initialisation": ("depends on the initialisation", "depend on the initialisation"),
    "cannot tell": ("cannot be told apart from {}", "cannot be told apart from {}"),
    "diverged": ("diverged", "diverged"),
}
_QUESTIONS = {
    "compare": "Which arm is better, everything else equal?",
    "position": "How far beyond the length it was trained at can each arm read?",
    "depth": "How deep and how fast can each placement be trained?",
    "repetition": "What does it cost to read the same text again?",
    "tokenizer": "Which tokenizer does a model learn best with?",
    "ladder": "Does the difference grow or shrink with the size of the model?",
}


def question(results: Results) -> str:
    """The question the study was made for; that of its kind where it does not say."""
    kind = results.get("kind") or "compare"
    return str(results.get("question") or _QUESTIONS.get(kind, _QUESTIONS["compare"]))


def answer(results: Results) -> str:
    """The result in one sentence; says so where nothing can be told."""
    compose = _KINDS.get(results.get("kind") or "compare", _compare)
    start = "A control failed, so do not rely on this: on" if failed_controls(results) else "On"
    data = (results.get("data") or {}).get("name") or "this data"
    return f"{start} {data}{compose(results) or _compare(results)}."


def _compare(results: Results) -> str:
    base, shown = results.get("baseline"), digits(results)
    parts: list[str] = []
    arms = [arm for arm in ranked(results) if arm["name"] != base]
    measured = any(difference(arm) for arm in arms)
    if not measured:
        alone = (results.get("statistics") or {}).get("seeds") == 1
        why = ", as one seed cannot show what chance alone does" if alone else ""
        parts.append(f"nothing can be said about a difference{f' from {base}' if base else ''}{why}")
        arms = [arm for arm in arms if arm["verdict"] == "diverged"]
    withheld = [arm for arm in arms if arm["verdict"] == "cannot tell" and arm.get("reason")]
    arms = [arm for arm in arms if arm not in withheld]
    for reason in dict.fromkeys(str(arm["reason"]) for arm in withheld):
        who = several([str(arm["name"]) for arm in withheld if arm["reason"] == reason])
        parts.append(f"no verdict is given on {who}: {reason}")
    for verdict, said in _SAID.items():
        group = [arm for arm in arms if arm["verdict"] == verdict]
        names = [_named(arm, shown, interval=len(group) <= 3) for arm in group]
        if group:
            parts.append(f"{several(names)} {said[len(group) > 1].replace('{}', str(base))}")
    return f"{f' ({unit(results)}, lower is better)' * measured}, {'; '.join(parts)}"


def _position(results: Results) -> str | None:
    """How far each arm reads before its loss leaves what is tolerated, those that reach farthest first."""
    length = results.get("length") or {}
    trained = length.get("train_length")
    reached = {arm["name"]: (arm.get("reach") or {}).get("plain") for arm in length.get("arms") or []}
    if trained is None or not any(reached.values()):
        return None
    farthest = max(length.get("contexts") or [trained])
    parts = []
    for reach in sorted({reach for reach in reached.values() if reach and reach > trained}, reverse=True):
        names = several([name for name in reached if reached[name] == reach])
        parts.append(f"{names} up to {'at least ' if reach >= farthest else ''}{reach:,} tokens")
    share = f"{100 * (length.get('tolerance') or 0.05):g} %"
    said = f", trained at {trained:,} tokens, "
    said += f"loss stays within {share} of that at the trained length for {several(parts)}" if parts else ""
    short = [name for name, reach in reached.items() if not reach or reach <= trained]
    if short:
        said += f"{'; ' if parts else ''}{several(short)} reach{'es' * (len(short) == 1)} no further than {trained:,}"
    return said + (
        f". At the trained length{_compare(results)}" if any(map(difference, results["arms"])) else ""
    )


def _depth(results: Results) -> str | None:
    """The largest stable rate of every placement at the deepest models, over all warm-ups."""
    rows = (results.get("stability") or {}).get("largest_stable_rate") or []
    if not rows:
        return None
    deepest = max(row["depth"] for row in rows)
    best: dict[str, float] = {}
    for row in rows:
        if row["depth"] == deepest:
            best[row["placement"]] = max(best.get(row["placement"], 0.0), row.get("lr") or 0.0)
    parts = [
        f"{rate:g} for {several([name for name in best if best[name] == rate])}"
        for rate in sorted({rate for rate in best.values() if rate}, reverse=True)
    ]
    said = f", at {deepest} layers, "
    if not parts:
        return said + "no placement was trained by every seed at any rate tried"
    said += f"the largest learning rate at which every seed trained is {several(parts)}"
    never = [name for name, rate in best.items() if not rate]
    return said + (f"; there was none for {several(never)}" if never else "")


def _repetition(results: Results) -> str | None:
    """What the most passes cost, and the most passes whose cost cannot be told from none."""
    found = (results.get("repetition") or {}).get("arms") or []
    known = [arm for arm in found if arm["passes"] > 1 and (arm.get("excess") or {}).get("mean") is not None]
    arms = sorted(known, key=lambda arm: arm["passes"])
    if not arms:
        return None
    parts = []
    for arm in arms:
        ends = arm["excess"].get("ci95")
        interval = ", interval {} to {}".format(*(signed(end, 3) for end in ends)) if _whole(ends) else ""
        parts.append(f"{arm['passes']:g} passes {signed(arm['excess']['mean'], 3)}{interval}")
    shown = [*parts[:2], parts[-1]] if len(parts) > 3 else parts
    return (
        f", at equal training tokens, reading the same text again costs, in bits per byte: {'; '.join(shown)}"
    )


def _ladder(results: Results) -> str | None:
    """Whether each arm's difference grows or shrinks with size, or cannot be told."""
    trends = [
        row for row in (results.get("ladder") or {}).get("trends") or [] if row.get("slope") is not None
    ]
    groups: dict[str, list[str]] = {}
    for row in trends:
        ends = row.get("ci95")
        told = ends is not None and None not in ends and not ends[0] <= 0 <= ends[1]
        way = ("falls" if row["slope"] < 0 else "rises") if told else ""
        number = f" ({signed(row['slope'], 4)} a doubling)" if told else ""
        groups.setdefault(way, []).append(f"{row['arm']}{number}")
    said = [
        f"with every doubling of the parameters the difference from {results['baseline']} {way} for {several(names)}"
        for way, names in groups.items()
        if way
    ]
    if "" in groups:
        said.append(f"no trend with size can be told for {several(groups[''])}")
    return f" (bits per byte), {'; '.join(said)}" if said else None


_KINDS: dict[str, Callable[[Results], str | None]] = {
    "position": _position,
    "depth": _depth,
    "repetition": _repetition,
    "ladder": _ladder,
}


def _whole(ends: Sequence[float | None] | None) -> bool:
    return ends is not None and None not in ends


def _named(arm: Results, shown: int, *, interval: bool) -> str:
    """An arm with its difference, as it stands in the answer."""
    diff = difference(arm)
    if not diff or arm["verdict"] not in ("better", "worse"):
        return str(arm["name"])
    text = signed(diff["mean"], shown)
    if interval and diff["ci95"]:
        text += ", interval {} to {}".format(*(signed(end, shown) for end in diff["ci95"]))
    return f"{arm['name']} ({text})"


def several(names: Sequence[str], limit: int = 6) -> str:
    """`a, b and c`; of a long list the first ones and how many more."""
    if len(names) > limit:
        names = [*names[: limit - 1], f"{len(names) - limit + 1} more"]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
