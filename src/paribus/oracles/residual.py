"""Placements of norms and scales around the sublayers of a block, and the gains that two of them start from."""

from collections.abc import Callable, Mapping

from paribus.oracles.arrays import Array, Function, Weights, under

Norm = Callable[[Weights, Array], Array]


def deepnorm_constants(stack: str, encoder_layers: int, decoder_layers: int) -> tuple[float, float]:
    """Wang et al. 2022, figure 2 and section 4.3: (alpha, beta), from the layers of the whole model; 0 layers of a stack it lacks.

    The encoder's beta is the paper's 0.87 (N^4 M)^(-1/16); torchscale divides by (N^4 M)^(1/16) / 1.15.
    """
    n, m = encoder_layers, decoder_layers
    if n == 0 or m == 0:
        return (2 * (n + m)) ** 0.25, (8 * (n + m)) ** -0.25
    if stack == "encoder":
        return 0.81 * (n**4 * m) ** (1 / 16), 0.87 * (n**4 * m) ** (-1 / 16)
    return (3 * m) ** 0.25, (12 * m) ** -0.25


def deepnorm_gain(matrix: str, *, stack: str, encoder_layers: int, decoder_layers: int) -> float:
    """Wang et al. 2022, figure 2: beta for the feed-forward layer, values and output; 1 for queries and keys."""
    return 1.0 if matrix in ("q", "k") else deepnorm_constants(stack, encoder_layers, decoder_layers)[1]


def pre_gain(matrix: str, *, stack: str, encoder_layers: int, decoder_layers: int) -> float:
    """Radford et al. 2019: 1/sqrt(N) for the matrices that write to the residual stream.

    N counts the stack's sublayers: two a block, and three where a decoder also reads an encoder.
    """
    if matrix not in ("o", "down"):
        return 1.0
    if stack == "encoder":
        return (2 * encoder_layers) ** -0.5
    return ((3 if encoder_layers else 2) * decoder_layers) ** -0.5


#: By how much a placement multiplies the first weights of a matrix, one of q, k, v, o, gate, value, up, down, where
#: its paper says so.
GAIN: dict[str, Callable[..., float]] = {"pre": pre_gain, "deepnorm": deepnorm_gain}


def placement(
    name: str,
    w: Weights,
    x: Array,
    sublayers: Mapping[str, Function],
    norm: Norm,
    *,
    stack: str = "decoder",
    encoder_layers: int = 0,
    decoder_layers: int = 1,
) -> Array:
    """One block: the sublayers in order, joined as the placement `name` joins them.

    Weights: `norms.<sublayer>.*`, `output_norms.<sublayer>.*` (norms of a sublayer's output where there is one of its
    input too), `norms.shared.*` (parallel), `scales.<sublayer>` (rezero).
    """

    def normed(kind: str, sublayer: str, y: Array) -> Array:
        return norm(under(w, f"{kind}.{sublayer}."), y)

    if name in ("parallel", "parallel_separate"):
        out = x
        for sublayer, f in sublayers.items():
            out = out + f(normed("norms", "shared" if name == "parallel" else sublayer, x))
        return out
    for sublayer, f in sublayers.items():
        if name == "pre":
            x = x + f(normed("norms", sublayer, x))
        elif name == "post":
            x = normed("norms", sublayer, x + f(x))
        elif name in ("sandwich", "peri"):
            x = x + normed("output_norms", sublayer, f(normed("norms", sublayer, x)))
        elif name == "post_sublayer":
            x = x + normed("norms", sublayer, f(x))
        elif name == "deepnorm":
            alpha, _ = deepnorm_constants(stack, encoder_layers, decoder_layers)
            x = normed("norms", sublayer, alpha * x + f(x))
        elif name == "rezero":
            x = x + w[f"scales.{sublayer}"] * f(x)
        else:
            raise NotImplementedError(f"write the oracle of residual {name!r}")
    return x


#: One sublayer f with its one norm: placement -> (norm, f, x) -> x.
RESIDUAL: dict[str, Callable[[Function, Function, Array], Array]] = {
    "pre": lambda norm, f, x: x + f(norm(x)),
    "post": lambda norm, f, x: norm(x + f(x)),
}
#: Whether the stack has a norm after its last block.
FINAL_NORM = {
    "pre": True,
    "post": False,
    "sandwich": True,
    "peri": True,
    "post_sublayer": True,
    "deepnorm": False,
    "parallel": True,
    "parallel_separate": True,
    "rezero": False,
}
#: Peri-LN alone norms the embedding, after its positions.
EMBEDDING_NORM = {name: name == "peri" for name in FINAL_NORM}
