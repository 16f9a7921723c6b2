"""How far from the exact result a part may be, by dtype: just above what its roundings cost.

An output's error is a share of the largest exact element, that of a derivative along a direction a share of the
gradient's length. In float32 a CPU shows a third of these at most, in half precision two thirds: other machines
have room for another order of summation, and a wrong constant has none (Swish with beta 1.001 is 5e-5 off).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

Kind = Literal["output", "rounding", "gradients"]
#: Where a result is rounded once, in half precision: half a unit in the last place, and a little for one that lies
#: by a tie.
ROUNDING = 1.05


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Largest errors allowed of outputs and of gradients, by dtype.

    `before_rounding` is for what is computed in at least float32 and rounded once, which in half precision is then
    held to that, element by element: the error that the wide result may have, as a share of the largest element.
    """

    output: Mapping[torch.dtype, float]
    gradients: Mapping[torch.dtype, float]
    before_rounding: float | None = None

    def at_least(self, floor: float) -> Bounds:
        """The same, but nowhere below `floor`: for what is not computed in the dtype throughout."""
        before = self.before_rounding
        return Bounds(
            output={dtype: max(bound, floor) for dtype, bound in self.output.items()},
            gradients={dtype: max(bound, floor) for dtype, bound in self.gradients.items()},
            before_rounding=before if before is None else max(before, floor),
        )


def _bounds(*rows: tuple[torch.dtype, float, float], before_rounding: float | None = None) -> Bounds:
    return Bounds(
        before_rounding=before_rounding,
        output={dtype: output for dtype, output, _ in rows},
        gradients={dtype: gradients for dtype, _, gradients in rows},
    )


#: What is computed in at least float32 and rounded once (activations, norms). One rounding is up to 2^-8 of an
#: element in bfloat16 and 2^-11 in float16. Differences of the oracle, which float64 gradients are held to, are
#: good to about 1e-8.
ROUNDED_ONCE = _bounds(
    (torch.float64, 1e-11, 1e-6),
    (torch.float32, 2e-6, 4e-6),
    (torch.bfloat16, 5e-3, 1.2e-2),
    (torch.float16, 6e-4, 3e-3),
    before_rounding=1e-6,
)
#: A layer with matrix products: a few roundings after each other.
LAYER = _bounds(
    (torch.float64, 1e-11, 1e-6),
    (torch.float32, 3e-6, 1e-5),
    (torch.bfloat16, 2.5e-2, 5e-2),
    (torch.float16, 4e-3, 8e-3),
)
#: Several layers after each other.
MODEL = _bounds(
    (torch.float64, 1e-11, 1e-6),
    (torch.float32, 3e-6, 2e-5),
    (torch.bfloat16, 4e-2, 1e-1),
    (torch.float16, 5e-3, 2e-2),
)
#: Angles, tables and distances of positions are float32 whatever the dtype.
FLOAT32_INSIDE = 3e-6
#: At position 55 a rounding of an angle's frequency is 55 times as large in the angle.
FLOAT32_ANGLES = 2e-5
#: x - tanh(x) cancels near zero, in torch's own form too: what is left there is a 400th of x.
CANCELS = 5e-5
