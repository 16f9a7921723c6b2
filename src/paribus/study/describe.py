"""What can be said of a study without its results: its question, its arms, what it holds equal and what not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paribus.model.count import num_params
from paribus.study.engine import Ran
from paribus.study.match import params_in
from paribus.study.plan import MATCHES, Arm, Plan
from paribus.study.planning import counted_slots, flops_per_token
from paribus.study.tokenized import trained_here
from paribus.train.config import TrainConfig

_QUESTIONS = {
    "ffn": "Which feed-forward layer is better",
    "norm": "Which norm is better",
    "residual": "Which residual placement is better",
    "position": "Which position encoding is better",
    "attention": "Which attention is better",
}
#: What is asked by a study of a kind whose arms differ in these settings only.
_BY_KIND = {
    "position": (
        "Which position encoding is better, and how far past its trained length can each run",
        {"position"},
    ),
    "depth": (
        "Which placement of the norms still trains when the model is deep",
        {"residual", "num_layers", "warmup"},
    ),
    "repetition": ("What does it cost to train on the same text again", {"passes"}),
    "tokenizer": ("Which tokenizer does a model learn best with", {"tokenizer"}),
}


def question(plan: Plan) -> str:
    """The heading of the report."""
    varied = [key.rpartition(".")[2] for key in plan.varied]
    of_kind, settings = _BY_KIND.get(plan.kind, ("", set[str]()))
    if plan.study == "activation" and varied == ["ffn"]:
        asked = "Which activation is better"
    elif of_kind and settings >= set(varied):
        asked = of_kind
    elif len(varied) == 1 and varied[0] in _QUESTIONS:
        asked = _QUESTIONS[varied[0]]
    else:
        asked = f"Which combination of {', '.join(varied)} is better" if varied else "Which arm is better"
    return f"{asked} on {plan.data['name']}, everything else equal?"


def describe_arm(plan: Plan, arm: Arm) -> dict[str, Any]:
    """What is known of an arm before it runs, under the keys of `results.json`."""
    cost = flops_per_token(arm)
    return {
        "name": arm.name,
        "overrides": dict(arm.overrides),
        "parts": arm.model.part_names(),
        "d_ff": arm.model.d_ff,
        "slot_params": params_in(arm.model, plan.slots or None),
        "slot_mismatch": arm.mismatch,
        "compute_mismatch": arm.compute_mismatch,
        "params": num_params(arm.model),
        "flops_per_token": cost,
        "tokens": arm.tokens,
        "flops": cost * arm.train.steps * arm.train.tokens_per_step,
    }


_UNLIKE = 0.005  # tokens or compute that differ by more are told of


def notes(plan: Plan) -> tuple[str, ...]:
    """What a user should hear of before a study runs."""
    said = []
    lengths = {arm.train.seq_len for arm in plan.arms}
    if len(lengths) > 1 and plan.kind != "tokenizer":
        said.append(
            "the arms read windows of different lengths, and each is scored on windows of its own length"
        )
    arms = [arm for arm in plan.arms if not arm.control]
    fewest, most = min(arm.tokens for arm in arms), max(arm.tokens for arm in arms)
    asked = {"train.tokens", "train.passes"} & set(plan.varied)
    if plan.matched in ("params", "none") and not asked and most > (1 + _UNLIKE) * fewest:
        said.append(
            f"in whole steps the arms train on {fewest:,} to {most:,} tokens: with more train.tokens, or a number that "
            "every arm's step divides, they come closer"
        )
    worst = max(arms, key=lambda arm: abs(arm.compute_mismatch))
    if plan.matched in ("flops", "time") and abs(worst.compute_mismatch) > _UNLIKE:
        said.append(
            f"in whole steps {worst.name} takes {worst.compute_mismatch:+.1%} of the compute of {plan.baseline}: more "
            "train.tokens bring it closer"
        )
    if plan.matched == "none" and len({num_params(arm.model) for arm in plan.arms}) > 1:
        said.append(
            "nothing is matched (match=none): the arms differ in size, and their parameters are reported"
        )
    return tuple(said)


def held_equal(plan: Plan, ran: Ran) -> list[str]:
    """What every arm shares, one sentence each."""
    train, model = plan.train, plan.arm(plan.baseline).model
    parts = {slot: name for slot, name in model.part_names().items() if slot not in plan.slots}
    fields = {key.removeprefix("model.") for key in plan.varied}
    shape = {
        "d_model": f"d_model {model.d_model}",
        "num_layers": f"{model.num_layers} layers",
        "num_heads": f"{model.num_heads} heads",
    }
    same_shape = [said for name, said in shape.items() if name not in fields]
    arms = [arm for arm in plan.arms if not arm.control]
    steps = {(arm.train.steps, arm.train.batch_size, arm.train.seq_len) for arm in arms}
    schedule = (
        f"{train.steps:,} steps of {train.batch_size} x {train.seq_len} tokens"
        if len(steps) == 1
        else f"as many steps as match={plan.matched} gave each arm"
        if plan.matched in ("flops", "time")
        else "as many steps as the arm's own settings say"
    )
    tuned = _tuned(plan, ran)
    if plan.kind == "tokenizer":
        return _held_equal_by_tokenizers(plan, tuned)
    cut: list[str] = [
        key for key in ("train.passes", "train.batch_size", "train.seq_len") if key in plan.varied
    ]
    if not cut and train.passes is not None and len({arm.train.unique_tokens for arm in arms}) > 1:
        cut = ["number of different tokens"]
    return [
        *_matched(plan),
        "All other parts: " + ", ".join(f"{slot} {name}" for slot, name in parts.items()) + ".",
        *([f"Shape: {', '.join(same_shape)}."] if same_shape else []),
        _starts(plan),
        f"Batches: drawn by the seed in every arm alike, and cut as its {' and '.join(cut)} says."
        if cut
        else "Batches: the same text in the same order in every arm of a seed.",
        f"Objective: {train.objective}.",
        f"Training: {schedule}, a completed schedule.",
        tuned,
        f"Held-out text: about {plan.data['scored_bytes']:,} bytes, in windows of each arm's own "
        "length, none of it trained on."
        if "train.seq_len" in plan.varied
        else f"Held-out text: the same {plan.data['scored_bytes']:,} bytes, none of it trained on.",
    ]


def _starts(plan: Plan) -> str:
    """What holds of the first weights, with what cannot be the same."""
    arms = [arm for arm in plan.arms if not arm.control]
    but = []
    if "ffn" not in plan.slots and len({arm.model.d_ff for arm in arms}) > 1:
        but.append("feed-forward layers, whose width matching moved")
    if "residual" in plan.slots:
        but.append("the factor by which a placement scales what attention and feed-forward layers draw")
    said = "Every parameter outside what is compared starts from the same bits in every arm of a seed"
    return said + (f", but for {' and '.join(but)}." if but else ".")


def _tuned(plan: Plan, ran: Ran) -> str:
    at = "" if plan.kind == "depth" else ", each arm judged at its own optimum"
    return f"Learning rates: the same {len(ran.rates)} for every arm{at}."


def _held_equal_by_tokenizers(plan: Plan, tuned: str) -> list[str]:
    """What arms share that read the same documents in different tokens."""
    train, own = plan.train, plan.data["tokenizers"]
    contexts = [arm.train.seq_len * own[arm.name]["bytes_per_token"] for arm in plan.arms if not arm.control]
    flops = max(abs(arm.compute_mismatch) for arm in plan.arms if not arm.control)
    read = {arm.name: arm.tokens * own[arm.name]["bytes_per_token"] for arm in plan.arms if not arm.control}
    unlike = max(abs(each / read[plan.baseline] - 1) for each in read.values())
    return [
        "Body: all parameters but embedding and head, which grow with the vocabulary and are reported.",
        f"Context: {min(contexts):.0f} to {max(contexts):.0f} bytes, in as many tokens as these are to each arm.",
        f"Training: {train.steps:,} steps of {train.batch_size} windows, a completed schedule, with bytes "
        f"within {unlike:.2%} of the baseline's in every arm (a window is a whole number of tokens)."
        if plan.matched == "bytes"
        else _within("Training FLOPs, embedding and head included (the number of steps moved)", flops),
        *_tokenizers_from(plan),
        f"Held-out text: the same documents, all {plan.data['heldout_bytes']:,} bytes of them but the end of the last window."
        if train.objective == "next_token"
        else "Held-out text: the same documents, of which each arm is scored on what its objective hides.",
        "Ends of documents: charged in every arm, as a token of no bytes.",
        tuned,
        f"Objective: {train.objective}.",
    ]


def _tokenizers_from(plan: Plan) -> list[str]:
    names = [str(arm.overrides["tokenizer"]) for arm in plan.arms if not arm.control]
    given = [name for name in names if not trained_here(name)]
    said = ["Tokenizers: trained on the training documents only, with one split and normaliser."]
    if given:
        said = ["Tokenizers trained here: on the training documents only, with one split and normaliser."]
        said += [f"Tokenizers as they were given, whatever they were trained on: {', '.join(given)}."]
    return said if len(given) < len(names) else said[1:]


def _matched(plan: Plan) -> list[str]:
    if plan.matched == "none":
        return []
    arms = [arm for arm in plan.arms if not arm.control]
    slots = counted_slots(plan.varied) if plan.slots else None
    counted = "everything but embedding and head" if slots is None else " and ".join(slots)
    said = [_within(f"Parameters of {counted}", max(abs(arm.mismatch) for arm in arms))]
    if plan.matched in ("flops", "time"):
        what = {
            "flops": "FLOPs of all forward and backward passes",
            "time": "Training time at the measured throughput",
        }[plan.matched]
        said.append(
            _within(f"{what} (the number of tokens moved)", max(abs(arm.compute_mismatch) for arm in arms))
        )
    return said


def _within(what: str, worst: float) -> str:
    return f"{what}: " + (
        "equal in every arm." if worst == 0 else f"within {worst:.2%} of the baseline's in every arm."
    )


def not_controlled(plan: Plan) -> list[str]:
    """What the study cannot speak of, one sentence each."""
    model = plan.arm(plan.baseline).model
    sizes = [(num_params(arm.model), arm.tokens) for arm in plan.arms if not arm.control]
    (params, tokens), (most, tokens_of_most) = min(sizes), max(sizes)
    scale = (
        f"{params:,} to {most:,} parameters, {tokens / params:.1f} to {tokens_of_most / most:.1f}"
        if most > 1.1 * params
        else f"{num_params(model):,} parameters, {plan.train.trained_tokens / num_params(model):.1f}"
    )
    schemes = " and ".join(plan.schemes)
    optimisers = dict.fromkeys({"adamw": "AdamW", "muon": "Muon"}[arm.train.optimiser] for arm in plan.arms)
    unmatched = {
        "params": "FLOPs and seconds",
        "flops": "seconds",
        "time": "FLOPs",
        "bytes": "embeddings, FLOPs and seconds",
        "none": "parameters, FLOPs and seconds",
    }
    matched = MATCHES[plan.matched]
    if plan.kind == "tokenizer" and plan.matched == "flops":
        matched, unmatched["flops"] = "training FLOPs", "embeddings and seconds"
    return [
        f"Scale: {scale} tokens a parameter. It is no law for others.",
        *(
            []
            if any(
                key.startswith("model.")
                for key in plan.varied
                if key.removeprefix("model.") not in plan.slots
            )
            else [f"Depth and shape: one only ({model.num_layers} layers)."]
        ),
        f"Optimiser: {' and '.join(optimisers)} only; rankings are known to differ under others.",
        f"Initialisation: {schemes} only; close calls can turn with the initial scale."
        + (
            " Output matrices of feed-forward layers start at matched scale."
            if all(arm.train.match_output_rms for arm in plan.arms)
            else ""
        ),
        f"Data: {plan.data['name']} only.",
        "Seconds: tokens/s is what each trial got beside all else on its machine, other workers of this study too.",
        f"Compute: matched are {matched}; {unmatched[plan.matched]} are reported, not matched.",
        "Memory: the peak is that of a whole worker process, which keeps what earlier trials freed.",
    ]


def training(plan: Plan, ran: Ran) -> dict[str, Any]:
    """How the arms were trained, and the seeds and rates of all; where arms differ, all that there is, with "or"."""
    arms = [arm for arm in plan.arms if not arm.control]

    def each(of: Callable[[TrainConfig], Any]) -> Any:
        found = list(dict.fromkeys(of(arm.train) for arm in arms))
        return found[0] if len(found) == 1 else " or ".join(str(value) for value in found)

    return {
        "objective": each(lambda train: train.objective),
        "tokens": each(lambda train: train.trained_tokens),
        "steps": each(lambda train: train.steps),
        "batch_size": each(lambda train: train.batch_size),
        "seq_len": each(lambda train: train.seq_len),
        "tokens_per_parameter": plan.train.trained_tokens / num_params(plan.arm(plan.baseline).model),
        "learning_rates": [float(rate) for rate in ran.rates],
        "schedule": each(
            lambda train: (
                f"linear warm-up over {train.warmup * train.tokens:,.0f} tokens, linear decay to zero"
            )
        ),
        "optimizer": each(_optimiser),
        "weight_decay": each(lambda train: train.weight_decay),
        "clip": each(lambda train: train.clip),
        "init_scheme": ", ".join(plan.schemes),
        "init_output_rms": each(lambda train: "matched" if train.match_output_rms else "as drawn"),
        "seeds": list(ran.seeds),
    }


def _optimiser(train: TrainConfig) -> str:
    adamw = f"AdamW, betas {train.beta1} and {train.beta2}, eps {train.eps}"
    return (
        adamw if train.optimiser == "adamw" else f"Muon for the matrices of the blocks; for the rest {adamw}"
    )
