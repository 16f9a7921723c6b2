"""How much fine-tuning data others had, to hold one's own counts against. Not laws: see `docs/sft.md` for a measurement.

Each number was looked up in its source.
"""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """So many examples, what they were for, and where that stands."""

    examples: int
    what: str
    source: str


RULES = (
    Rule(
        50,
        "OpenAI's guide: improvements are seen from 50 to 100 examples on, and 10 is the least it accepts",
        "developers.openai.com/docs/guides/distillation",
    ),
    Rule(
        1_000,
        "LIMA: 1,000 chosen examples, about 750,000 tokens, for a 65B model to answer well in a chat",
        "arXiv:2305.11206 (Zhou et al. 2023)",
    ),
    Rule(
        1_000,
        "general chat ability levels off after about a thousand examples; mathematics and code go on rising",
        "arXiv:2310.05492 (Dong et al. 2024)",
    ),
    Rule(
        13_000,
        "InstructGPT: about 13,000 prompts for the supervised step",
        "arXiv:2203.02155 (Ouyang et al. 2022)",
    ),
    Rule(
        27_540,
        "Llama 2-Chat: 27,540 annotations, when collecting was stopped",
        "arXiv:2307.09288 (Touvron et al. 2023), section 3.1",
    ),
    Rule(
        52_002,
        "Alpaca: 52,002 demonstrations written by another model",
        "github.com/tatsu-lab/stanford_alpaca (Taori et al. 2023)",
    ),
)
#: What is known of the form: loss falls as a power of the number of examples, with an exponent that depends on the task.
LAW = "loss falls as a power of the amount of data, by task: arXiv:2402.17193 (Zhang et al. 2024)"


def beside(examples: int) -> list[dict[str, object]]:
    """Every rule, with `examples` as a multiple of it."""
    return [{**rule._asdict(), "times": examples / rule.examples} for rule in RULES]
