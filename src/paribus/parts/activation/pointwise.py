"""The activations with nothing to learn: one class over the table of `paribus.ops.activations`."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from paribus.errors import RequestError, nearest
from paribus.ops.activations import ACTIVATIONS, activation
from paribus.parts.activation.base import Activation
from paribus.registry import part

_RESNET = "arXiv:1905.02244 (Howard et al. 2019, MobileNetV3)"
_GELU = "arXiv:1606.08415 (Hendrycks & Gimpel 2016)"
_SHRINK = "Donoho & Johnstone 1994 (Ideal spatial adaptation by wavelet shrinkage)"
_ZERO_NEAR = "small inputs give zero and no gradient"
_SATURATES = "it saturates on both sides, and gradients vanish there"

#: What a card says of a row beside its formula: paper, traps.
_CARDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "identity": (
        "arXiv:2002.05202 (Shazeer 2020): the value of most gated layers",
        ("an ungated layer with it is one linear map of rank d_ff",),
    ),
    "relu": (
        "arXiv:1803.08375 (Agarap 2018); Nair & Hinton 2010",
        ("its derivative at 0 is a convention: 0 here, as in torch",),
    ),
    "relu2": (
        "arXiv:2109.08668 (So et al. 2021, Primer)",
        (
            "its output grows with the square of the input's scale, so its ranking depends on the initial scale",
            "it is no limit of Swish: beta to infinity is ReLU",
        ),
    ),
    "relu6": ("arXiv:1704.04861 (Howard et al. 2017, MobileNets)", ("above 6 no gradient passes",)),
    "leaky_relu": (
        "Maas et al. 2013 (Rectifier nonlinearities improve neural network acoustic models)",
        ("the paper's slope is 1/100; other libraries default to 0.2 or 0.3",),
    ),
    "hardsigmoid": (_RESNET, ("Keras' older form has slope 0.2, not 1/6",)),
    "hardtanh": ("Collobert 2004 (Large scale machine learning)", (_SATURATES,)),
    "hardswish": (_RESNET, ("it is x times hardsigmoid, off SiLU by up to 0.14",)),
    "hardshrink": (_SHRINK, (_ZERO_NEAR, "it jumps at the bound")),
    "softshrink": (_SHRINK, (_ZERO_NEAR,)),
    "sigmoid": ("Rumelhart et al. 1986", (_SATURATES, "its outputs are all positive")),
    "tanh": ("LeCun et al. 1998 (Efficient backprop)", (_SATURATES,)),
    "tanhshrink": ("torch.nn.Tanhshrink (PyTorch 2016)", ("near zero it is x^3 / 3: almost no gradient",)),
    "softplus": (
        "Dugas et al. 2000; Glorot et al. 2011",
        ("torch's own is x itself above 20; this one is exact",),
    ),
    "gelu": (
        _GELU,
        (
            "this is the exact erf form; 'gelu_new', 'gelu_fast' and 'gelu_pytorch_tanh' are the tanh form",
            "the two forms differ by up to 4.7e-4, at |x| = 2.70",
        ),
    ),
    "gelu_tanh": (f"{_GELU}; GPT-2 (Radford et al. 2019)", ("Gemma's config says gelu and means this form",)),
    "gelu_quick": (
        f"{_GELU}; arXiv:2103.00020 (Radford et al. 2021, CLIP)",
        ("it is Swish with beta 1.702, off the exact form by up to 0.02",),
    ),
    "silu": (
        "arXiv:1702.03118 (Elfwing et al. 2017); arXiv:1710.05941 (Ramachandran et al. 2017)",
        ("Swish with beta 1 is SiLU; beta 0 is x / 2 and beta to infinity is ReLU",),
    ),
    "mish": (
        "arXiv:1908.08681 (Misra 2019)",
        ("it is x tanh(softplus(x)); written with e^x it overflows in half precision",),
    ),
    "elu": (
        "arXiv:1511.07289 (Clevert et al. 2015)",
        ("alpha scales the left branch alone, so with alpha other than 1 the slope jumps at 0",),
    ),
    "celu": (
        "arXiv:1704.07483 (Barron 2017)",
        ("at alpha 1 it is ELU; they differ in where alpha stands",),
    ),
    "selu": (
        "arXiv:1706.02515 (Klambauer et al. 2017)",
        ("it keeps zero mean and unit variance only with its own initial draws and no norms around",),
    ),
}


class PointwiseActivation(Activation):
    """A row of the activation table on each feature by itself: x [..., width] of any floating dtype, the same out.

    `constants` changes the row's constants by name, such as {"alpha": 0.5} for celu. Raises `RequestError` for
    constants that the row does not have.
    """

    def __init__(self, *, width: int, row: str, constants: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.row = activation(row)
        self.constants = dict(constants or {})
        for name in self.constants:
            if name not in self.row.constants:
                known = nearest(name, self.row.constants) if self.row.constants else "it has none"
                raise RequestError(f"activation {row!r} has no constant {name!r}; {known}")

    def compute(self, x: Tensor, *arguments: Tensor) -> Tensor:
        return self.row.value(x, **self.constants)


for _row in ACTIVATIONS.values():
    _paper, _traps = _CARDS[_row.name]
    part(
        "activation",
        _row.name,
        formula=_row.formula,
        summary=f"the pointwise function {_row.name}",
        paper=_paper,
        parameters="0",
        shapes="x [..., width] -> the same",
        traps=_traps,
        options={"row": _row.name},
    )(PointwiseActivation)
