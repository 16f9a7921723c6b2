"""What repeated tokens are worth, by the data-constrained law of Muennighoff et al. 2023 (arXiv:2305.16264, equation 5).

D tokens of which U are different are worth D' = U + U R* (1 - exp(-R / R*)) different ones, with R = D / U - 1
repetitions. The law was fitted to models of 7 M to 9 B parameters trained with dropout on English text, for whole passes
over it; for duplicates inside a text it is an estimate.
"""

from __future__ import annotations

import math

R_STAR = 15.387756


def effective_tokens(tokens: float, passes: float) -> float:
    """Different tokens that `tokens`, read as `passes` passes over the same text, are worth by the law."""
    unique = tokens / passes
    return unique * (1 + R_STAR * (1 - math.exp(-(passes - 1) / R_STAR)))
