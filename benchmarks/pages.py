"""Runs every benchmark at its named sizes and writes docs/benchmarks.md, with a plot of each.

python benchmarks/pages.py docs/benchmarks.md [--rounds 30] [ffn step ...]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from paribus.bench.measure import benchmark
from paribus.bench.page import draw, markdown
from paribus.bench.suites import SUITES

INTRODUCTION = """# Benchmarks

Made by `make bench`. Contenders of a table were timed in turn in one run, under one allocator and one division of
cores; no number may be compared with one of another table or another day. `ours again` is a second copy of ours:
its distance from ours is the noise. `over` is the ratio of medians, with the range that 95 % of redrawn rounds give
it; `CPU` is the same ratio of the time that all cores spent, which a busy neighbour disturbs less. `kept` is what
the forward pass keeps for backward. `bf16 weights` have no float32 masters: less work, and updates that are rounded
away where they are small. The folder `benchmarks` has every table's numbers as JSON.
"""


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("page", type=Path)
    options.add_argument("suites", nargs="*", help="Only these; the others' sections are left as they are")
    options.add_argument("--rounds", type=int, default=30)
    given = options.parse_intermixed_args()
    plots = given.page.with_suffix("")
    plots.mkdir(parents=True, exist_ok=True)
    sections = [INTRODUCTION]
    for suite in SUITES.values():
        for shape in suite.shapes:
            if suite.name == "step" and shape == "study":
                continue  # the suite `study` has it, on the division of cores that studies use
            name, stored = f"{suite.name}-{shape}", plots / f"{suite.name}-{shape}.json"
            if not given.suites or suite.name in given.suites:
                print(name, file=sys.stderr)
                document = benchmark(suite, suite.options(shape, {}), rounds=given.rounds)
                draw(document, plots / f"{name}.svg")
                stored.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
            if stored.exists():
                section = markdown(json.loads(stored.read_text(encoding="utf-8")))
                sections.append(f"{section}\n![{name}]({plots.name}/{name}.svg)\n")
    given.page.write_text("\n".join(sections), encoding="utf-8")


if __name__ == "__main__":
    main()
