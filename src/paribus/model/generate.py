"""Text from a model, token by token: greedy or sampled, with a cache, and past the trained length."""

from __future__ import annotations

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.model.cache import Cache
from paribus.model.transformer import Transformer


def generate(
    model: Transformer,
    ids_BT: Tensor,
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    seed: int = 0,
    stop: int | None = None,
    window: int | None = None,
    source_BS: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """`ids_BT` and what the model goes on with, [B, T + at most max_new_tokens].

    Temperature 0 takes the likeliest token; above it tokens are drawn from softmax(logits / temperature),
    among the `top_k` likeliest and among the fewest whose probabilities reach `top_p` (Holtzman et al. 2020,
    arXiv:1904.09751). Generation ends once every row has given `stop`; rows that have are filled up with it.
    With `window` a sequence that has grown to so many tokens is read again from its last `window` tokens at
    positions 0, 1, ..., for models that cannot read past their trained length. `source_BS` is what an
    encoder-decoder reads. Raises `RequestError` for impossible settings.
    """
    if ids_BT.shape[1] < 1 or max_new_tokens < 0:
        raise RequestError(
            "generating needs at least one token to go on from and max_new_tokens of at least 0"
        )
    if temperature < 0 or not 0 < top_p <= 1 or (top_k is not None and top_k < 1):
        raise RequestError(
            f"temperature is at least 0, top_p in (0, 1] and top_k at least 1; they are {temperature}, {top_p} "
            f"and {top_k}"
        )
    if window is not None and window < 1:
        raise RequestError(f"window is a number of tokens, at least 1; it is {window}")
    if max_new_tokens and model.config.architecture == "encoder":
        raise RequestError("an encoder sees later tokens too, so it cannot go on from a text")
    draws = torch.Generator(device=ids_BT.device).manual_seed(seed)
    ended_B = torch.zeros(ids_BT.shape[0], dtype=torch.bool, device=ids_BT.device)
    cache, unread_BT = Cache(), ids_BT
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for _ in range(max_new_tokens):
                if window is not None and ids_BT.shape[1] > window:
                    # Every token has moved to another position, so nothing cached holds any more.
                    cache, unread_BT = Cache(), ids_BT[:, -window:]
                logits_BV = model(unread_BT, dtype=dtype, source_BS=source_BS, cache=cache)[:, -1].float()
                next_B = _choose(logits_BV, temperature, top_k, top_p, draws)
                if stop is not None:
                    next_B = torch.where(ended_B, stop, next_B)
                    ended_B = ended_B | (next_B == stop)
                unread_BT = next_B[:, None]
                ids_BT = torch.cat((ids_BT, unread_BT), dim=1)
                if ended_B.all():
                    break
    finally:
        model.train(was_training)
    return ids_BT.clone()  # what is made in inference mode cannot be trained on


def _choose(
    logits_BV: Tensor, temperature: float, top_k: int | None, top_p: float, draws: torch.Generator
) -> Tensor:
    """One token for each row."""
    if temperature == 0:
        return logits_BV.argmax(-1)
    logits_BV = logits_BV / temperature
    if top_k is not None and top_k < logits_BV.shape[-1]:
        lowest_kept = logits_BV.topk(top_k, dim=-1).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < lowest_kept, float("-inf"))
    probability_BV, order_BV = logits_BV.softmax(-1).sort(dim=-1, descending=True)
    # A token stays while those before it have not reached top_p, so the likeliest always does.
    before_BV = probability_BV.cumsum(-1) - probability_BV
    drawn_B1 = torch.multinomial(probability_BV * (before_BV < top_p), 1, generator=draws)
    return order_BV.gather(-1, drawn_B1).squeeze(-1)
