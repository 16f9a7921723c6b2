"""Finished studies of every kind, as plain data with made-up numbers: what the tests of the report write."""

from __future__ import annotations

import math
import random
from typing import Any

Results = dict[str, Any]


def arm(name: str, shift: float = 0.0, *, verdict: str = "cannot tell", seeds: int = 4) -> Results:
    """One arm as a study reports it; `shift` is its difference from the baseline."""
    draw = random.Random(name)
    rates = {lr: 2.92 + shift + 0.09 * math.log2(lr / 0.003) ** 2 for lr in (0.0015, 0.003, 0.006)}
    values = {lr: [loss + draw.gauss(0, 0.02) for _ in range(seeds)] for lr, loss in rates.items()}
    difference = {"mean": shift, "ci95": [shift - 0.054, shift + 0.054], "p_adjusted": 0.41}
    tokens = [4000 * i for i in range(1, 101)]
    loss = [2.75 + shift + 5 * math.exp(-t / 30000) + draw.gauss(0, 0.01) for t in tokens]
    size = {"d_ff": 384, "slot_params": 147456, "slot_mismatch": 0.0, "params": 250000, "diverged_trials": 0}
    cost = {"tokens_per_second": 90123.4, "peak_memory_bytes": 5.02e8, "flops_per_token": 1.5e6}
    cost |= {"branch_rms": 0.4, "clipped_fraction": 0.021, "lr": 0.003, "lr_fitted": 0.0031}
    found = {
        "values": values[0.003],
        "mean": sum(values[0.003]) / seeds,
        "difference": difference if seeds > 1 and verdict != "baseline" else None,
        "indistinguishable_from_best": shift < -0.1,
        "by_rate": [{"lr": lr, "mean": sum(v) / seeds, "values": v} for lr, v in values.items()],
        "curve": {"tokens": tokens, "seconds": [t / 90000 for t in tokens], "train_bpb": loss},
    }
    return {"name": name, "verdict": verdict, "reason": None, "parts": {"ffn": name}} | found | size | cost


def study(*arms: Results, seeds: int = 4) -> Results:
    """A realistic study of feed-forward layers: relu, `arms`, and both controls."""
    arms = (arm("relu", verdict="baseline", seeds=seeds), *arms)
    placebo = arm("placebo", 0.006, seeds=seeds) | {"expected": "not different from the baseline", "ok": True}
    handicap = arm("handicap", 0.134, verdict="worse", seeds=seeds) | {"expected": "worse", "ok": True}
    named = {"study": "ffn", "metric": "val_bpb", "baseline": "relu", "matched": "params", "seconds": 212.0}
    made = {"created": "2026-11-20T23:44:00Z", "paribus": "0.1.0", "plan_sha256": "ab12" * 16}
    facts = {
        "answer": "swiglu is better than relu.",
        "question": "Which feed-forward layer is better on stdlib, everything else equal?",
        "data": {"name": "stdlib", "bytes": 11800000, "sha256": "9f2c" * 16, "scored_bytes": 65530},
        "arms": list(arms),
        "controls": [placebo, handicap],
        "statistics": {"method": "dunnett", "confidence": 0.95, "critical": 2.9, "df": 15, "seeds": seeds},
        "smallest_detectable_difference": 0.09,
        "to_halve": {"seeds": 16, "minutes": 18.0},
        "trials": [
            {"arm": a["name"], "seed": s, "lr": p["lr"], "status": "done", "val_bpb": loss, "error": None}
            for a in [*arms, placebo, handicap]
            for p in a["by_rate"]
            for s, loss in enumerate(p["values"])
        ],
        "warnings": ["Two workers shared two cores with other processes."],
        "held_equal": ["Every initial draw outside the slot, bit for bit."],
        "not_controlled": ["Scale: 1.6 tokens per parameter."],
        "training": {"tokens": 400000, "optimizer": "AdamW", "seeds": [0, 1], "init_scheme": "fan_in"},
        "command": "paribus study ffn --data stdlib",
        "environment": {"python": "3.11.7", "torch": "2.13.0", "malloc": {"TRIM": "8"}, "compiled": True},
    }
    return named | facts | made


def usual() -> Results:
    gated = [arm("swiglu", -0.14, verdict="better"), arm("geglu", -0.131, verdict="better")]
    return study(arm("gelu", -0.012), *gated, arm("tanh", 0.081, verdict="worse"))


def thirty() -> Results:
    return study(*(arm(f"power-{i}", i / 100) for i in range(29)), arm("far", 3.0, verdict="worse"))


def complete(results: Results | None = None) -> Results:
    """A comparison with everything that a study can know of its arms: margin, schemes, looks, cost, health."""
    results = results or usual()
    results |= {"kind": "compare", "margin": 0.02, "schemes": ["fan_in", "normal_0.02"]}
    for number, row in enumerate(results["arms"]):
        row |= {
            "overrides": {"model.ffn": row["name"], "train.clip": 1.0},
            "rate_sensitivity": 0.0312 + number / 100,
        }
        row |= {"flops": 6.2e11, "seconds": 4.4 + number / 10}
        row["as_run"] = {"attention_backend": "sdpa", "dtype": "bfloat16", "compiled": True, "ffn": "GLU"}
        row["reference"] = {"fused_seconds": 0.011, "reference_seconds": 0.0242, "ratio": 2.2}
        layer = {"dead_units": 0.031, "gate_saturation": None, "hidden_rms": 0.51, "grad_norm": 0.024}
        row["health"] = {"layers": [layer, layer | {"dead_units": 0.012, "gate_saturation": 0.2}]}
        if row["difference"]:
            mean = row["difference"]["mean"]
            row["difference"] |= {"ci90": [mean - 0.044, mean + 0.044]}
            row["bootstrap"] = {"mean": mean + 0.001, "ci95": [mean - 0.061, mean + 0.062]}
            factors = {
                "loss_factor": 1.9,
                "throughput_ratio": 0.9,
                "throughput_ci95": [0.77, 1.05],
            }
            row["effective_speedup"] = {
                "value": 1.71,
                "ci95": [1.2, None],
                "extrapolated": number == 2,
            } | factors
        row["by_scheme"] = {
            scheme: {
                "verdict": row["verdict"],
                "difference": row["difference"],
                "lr": 0.003,
                "mean": row["mean"],
            }
            for scheme in results["schemes"]
        }
    gelu = next(row for row in results["arms"] if row["name"] not in ("relu", "swiglu"))
    gelu |= {"verdict": "same"}
    last = results["arms"][-1] | {"verdict": "depends on initialisation"}
    last["by_scheme"]["normal_0.02"] |= {"verdict": "cannot tell"}
    last["effective_speedup"] |= {"value": None, "ci95": [None, None]}
    results["arms"][-1] = last
    results["looks"] = [
        {"seeds": 4, "alpha": 0.005, "resolved": ["swiglu"], "unresolved": ["gelu", "tanh"]},
        {"seeds": 8, "alpha": 0.015, "resolved": ["swiglu", "gelu", "tanh"], "unresolved": []},
    ]
    powers = [(0.05, 8, 9.2), (0.005, 16, 18.0), (0.001, None, None)]
    results["power"] = [{"difference": d, "seeds": n, "minutes": m} for d, n, m in powers]
    for trial in results["trials"]:
        trial |= {"run_id": "0f3a", "heldout_nats": [1.0, 2.0]}
    return results


def position(count: int = 4) -> Results:
    """A length study of `count` arms: one that reads on for ever, one that cannot, and those between."""
    names = ["alibi", "rope", "learned", *(f"t5-{i}" for i in range(count))][:count]
    contexts, arms = [32, 64, 128, 256, 512, 1024], []
    for number, name in enumerate(names):
        plain: Results = {}
        for context in contexts:
            past = max(math.log2(context / 64), 0)
            loss = 2.9 - 0.05 * math.log2(context / 64) + 0.12 * number * past**1.5
            reads = name != "learned" or context <= 64
            plain[str(context)] = {"mean": loss, "ci95": [loss - 0.01, loss + 0.01]} if reads else None
        window = {
            context: at and {"mean": min(at["mean"], 2.95), "ci95": None} for context, at in plain.items()
        }
        spots = [{"position": 1.3 * 1.33**i, "bpb": 2.6 + 3 / (i + 1) + number / 50} for i in range(24)]
        row = {"name": name, "plain": plain, "window": window, "by_position": spots}
        reach = {"alibi": 1024, "rope": 256}.get(name, 64)
        arms.append(row | {"reach": {"plain": reach, "window": max(reach, 512)}})
    shared = {"train_length": 64, "contexts": contexts, "scored_bytes": 16384, "tolerance": 0.05}
    results = study(*(arm(name, i / 50) for i, name in enumerate(names)))
    section = shared | {"arms": arms}
    return results | {"kind": "position", "answer": None, "question": None, "length": section}


def depth() -> Results:
    """A stability study: pre-norm trains nearly everywhere, post-norm stops at depth and at high rates."""
    placements, depths, rates = ["pre", "post", "deepnorm"], [2, 12, 48], [0.0005, 0.002, 0.008, 0.032]
    cells, stable, layers, arms = [], [], [], []
    for warmup in (0.1, 0.0):
        for number, placement in enumerate(placements):
            for deep in depths:
                place = {"placement": placement, "depth": deep, "warmup": warmup}
                limit = 0.05 / (1 + 2 * number * math.log2(deep)) * (1 if warmup else 0.2)
                best = None
                for lr in rates:
                    good = lr <= limit
                    trained = 4 if good else 2 if lr <= 2 * limit else 0
                    stuck = 0 if good else 4 - trained if lr <= 3 * limit else 0
                    bpb = 4.2 - 0.3 * math.log2(lr / 0.0005) - deep / 100 if good else None
                    count = {"seeds": 4, "trained": trained, "stuck": stuck, "diverged": 4 - trained - stuck}
                    cells.append(place | count | {"lr": lr, "failed": 0, "bpb": bpb})
                    best = cells[-1] if good else best
                stable.append(place | {"lr": best and best["lr"], "bpb": best and best["bpb"]})
                for when, slope in (("start", 0.02), ("end", 0.05)):
                    rms = [1 + slope * i * (3 - number) for i in range(deep)]
                    gradient = [0.01 * 0.97 ** (i * number) for i in range(deep)]
                    layers.append(place | {"when": when, "activation_rms": rms, "gradient_rms": gradient})
                name = f"{placement}, num_layers={deep}, warmup={warmup}"
                arms.append({"name": name, "verdict": "cannot tell", "mean": None})
    arms[0]["verdict"] = "baseline"
    section = {"unigram_bpb": 4.7, "placements": placements, "depths": depths, "warmups": [0.0, 0.1]}
    section |= {"rates": rates, "cells": cells, "largest_stable_rate": stable, "layers": layers}
    changed = {"kind": "depth", "study": "depth", "question": None, "answer": None, "arms": arms}
    return study() | changed | {"baseline": arms[0]["name"], "controls": [], "stability": section}


def repetition() -> Results:
    """A repetition study: four passes are nearly free, forty are not."""
    rows, arms = [], []
    for passes in (1, 2, 4, 8, 16, 40):
        excess = 0.012 * math.log2(passes) ** 1.7
        name, first = f"passes={passes}", passes == 1
        row = {
            "name": name,
            "passes": passes,
            "unique_tokens": 400000 // passes,
            "longest_copy": 12.0 + passes,
        }
        row |= {"bpb": {"mean": 2.9 + excess, "ci95": [2.88 + excess, 2.92 + excess]}}
        row["excess"] = None if first else {"mean": excess, "ci95": [excess - 0.02, excess + 0.02]}
        row |= {"predicted_excess": 0.7 * excess, "effective_tokens": 400000 / (1 + excess)}
        rows.append(row | {"distinct": {"1": 0.02, "2": 0.31, "3": 0.62}, "heldout_longest_copy": 21.0})
        arms.append(arm(name, excess, verdict="baseline" if first else "cannot tell"))
    section = {"tokens": 400000, "r_star": 15.387756, "arms": rows}
    changed = {"kind": "repetition", "study": "repetition", "question": None, "answer": None, "arms": arms}
    return study() | changed | {"baseline": "passes=1", "repetition": section}


def tokenizers() -> Results:
    """A study of tokenizers: pieces of text beat bytes."""
    rows, arms = [], []
    for name, vocab_size, a_token, shift in (("bytes", 257, 1.0, 0.0), ("byte_bpe:1024", 1024, 2.6875, -0.2)):
        row = {"name": name, "vocab_size": vocab_size, "bytes_per_token": a_token}
        row |= {"context_tokens": round(128 / a_token), "context_bytes": round(128 / a_token) * a_token}
        row |= {"embedding_params": 64 * vocab_size, "body_params": 24_672, "training_bytes": 2_000_000.0}
        row |= {"flops": 1.2e10 / a_token, "bpb": {"mean": 2.9 + shift, "ci95": [2.88 + shift, 2.92 + shift]}}
        rows.append(row)
        arms.append(arm(name, shift, verdict="better" if shift else "baseline"))
    changed = {"kind": "tokenizer", "study": "tokenizer", "question": None, "answer": None, "arms": arms}
    section = {"tokenizers": {"matched": "bytes", "arms": rows}}
    return study() | changed | {"baseline": "bytes"} | section


def ladder() -> Results:
    """Three sizes: swiglu's difference shrinks, gelu's has no trend."""
    sizes = []
    for label, params in (("small", 60_000), ("default", 250_000), ("paper", 1_900_000)):
        shrunk = -0.2 + 0.03 * math.log2(params / 60_000)
        differences = {"swiglu": shrunk, "gelu": -0.01}
        told = {
            name: {
                "mean": mean,
                "ci95": [mean - 0.04, mean + 0.04],
                "verdict": "better" if mean < -0.04 else "cannot tell",
                "compute": {"ratio": 1.37, "ci95": [1.11, None], "extrapolated": name == "gelu"},
            }
            for name, mean in differences.items()
        }
        sizes.append(
            {"label": label, "params": params, "tokens": 2 * params, "folder": f"out/{label}", "arms": told}
        )
    trends = [
        {"arm": "swiglu", "slope": 0.03, "ci95": [0.012, 0.048], "p": 0.001, "sizes": 3},
        {"arm": "gelu", "slope": 0.0004, "ci95": [-0.02, 0.02], "p": 0.9, "sizes": 3},
    ]
    results = study(arm("swiglu", -0.05, verdict="better"), arm("gelu", -0.01))
    section = {"tokens_per_parameter": 2.0, "sizes": sizes, "trends": trends}
    return results | {"kind": "ladder", "question": None, "answer": None, "ladder": section}
