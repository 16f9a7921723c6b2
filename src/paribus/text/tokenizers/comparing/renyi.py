"""How evenly a text uses a vocabulary: the efficiency of Rényi entropy.

It went with translation quality at alpha 2.5 in Zouhar et al. 2023 (arXiv:2306.16842); Cognetta et al. 2024
(arXiv:2402.14614) raise it and hurt quality. So it is reported, and nothing is ranked by it.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError

ALPHA = 2.5


def renyi_efficiency(counts: npt.ArrayLike, *, vocab_size: int, alpha: float = ALPHA) -> float:
    """H_alpha(p) / log2(vocab_size), with H_alpha = log2(sum p^alpha) / (1 - alpha) and Shannon's entropy at alpha 1.

    `counts` are of tokens in a text, p their shares. Raises `RequestError` without any token, for an alpha that is not
    above 0, and for a vocabulary of fewer than two.
    """
    table = np.asarray(counts, dtype=np.float64)
    table = table[table > 0]
    if not table.size or vocab_size < 2 or not 0 < alpha < math.inf:
        raise RequestError(
            f"Rényi efficiency takes a text with tokens, an alpha above 0 and a vocabulary of 2 or more; there are "
            f"{table.size} different tokens, alpha is {alpha:g} and the vocabulary {vocab_size:,}"
        )
    shares = table / table.sum()
    if alpha == 1:
        entropy = float(-(shares * np.log2(shares)).sum())
    else:
        # By the largest share: p^alpha of a large alpha would underflow to zero.
        largest = shares.max()
        others = np.log2(((shares / largest) ** alpha).sum())
        entropy = float(alpha / (1 - alpha) * np.log2(largest) + others / (1 - alpha))
    return entropy / math.log2(vocab_size)
