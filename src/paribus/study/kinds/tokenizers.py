"""The tokenizer study: what each arm's vocabulary costs and reads, beside its bits per byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paribus.study.engine import Ran, Results
from paribus.study.kinds.intervals import over_seeds
from paribus.study.plan import Plan


def tokenizers_section(
    plan: Plan, ran: Ran, results: Results, arms: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Sizes, context and training of every arm, in tokens and in bytes; the body has the same parameters in all."""
    rows = []
    for row in arms:
        arm, own = plan.arm(row["name"]), plan.data["tokenizers"][row["name"]]
        a_token = own["bytes_per_token"]
        rows.append(
            {
                "name": row["name"],
                "vocab_size": own["vocab_size"],
                "bytes_per_token": a_token,
                "context_tokens": arm.train.seq_len,
                "context_bytes": arm.train.seq_len * a_token,
                "training_bytes": arm.train.steps * arm.train.tokens_per_step * a_token,
                "flops": row["flops"],
                "body_params": row["slot_params"],
                "embedding_params": row["params"] - row["slot_params"],
                "bpb": over_seeds(row["values"]),
            }
        )
    return {"matched": plan.matched, "arms": rows}
