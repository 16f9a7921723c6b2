"""A training program of somebody who has never heard of Paribus: a byte-level language model in plain PyTorch.

    python examples/exec/plain_pytorch.py --ffn swiglu --lr 3e-3 --seed 1 --out /tmp/run

All that makes it fit for a study are its arguments and the lines that it writes to OUT/metrics.jsonl.
It needs nothing but PyTorch; its text is the source of Python's own standard library.
"""

import argparse
import json
import math
import os
import sysconfig
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "tanh": torch.tanh, "swiglu": F.silu, "geglu": F.gelu}
GATED = {"swiglu", "geglu"}
TRAIN = (
    "argparse",
    "ast",
    "calendar",
    "configparser",
    "csv",
    "difflib",
    "inspect",
    "pathlib",
    "pickle",
    "tarfile",
)
HELDOUT = ("shutil", "subprocess", "textwrap")


class FeedForward(nn.Module):
    """Two matrices of width 4 d, or three of width 8/3 d where a gate makes the third: equal parameters."""

    def __init__(self, kind: str, d: int) -> None:
        super().__init__()
        width = 8 * d // 3 if kind in GATED else 4 * d
        self.activation = ACTIVATIONS[kind]
        self.up = nn.Linear(d, width, bias=False)
        self.gate = nn.Linear(d, width, bias=False) if kind in GATED else None
        self.down = nn.Linear(width, d, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.activation(self.up(x) if self.gate is None else self.gate(x))
        return self.down(hidden if self.gate is None else hidden * self.up(x))


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm and beside a residual stream."""

    def __init__(self, kind: str, d: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        self.ffn = FeedForward(kind, d)

    def forward(self, x: Tensor) -> Tensor:
        B, T, D = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(B, T, D))
        return x + self.ffn(self.norm2(x))


class Model(nn.Module):
    """Bytes [B, T] to the logits of the next byte [B, T, 256]."""

    def __init__(self, kind: str, *, d: int, layers: int, heads: int, length: int) -> None:
        super().__init__()
        self.bytes, self.places = nn.Embedding(256, d), nn.Embedding(length, d)
        self.blocks = nn.Sequential(*(Block(kind, d, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 256, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.bytes(x) + self.places.weight[: x.shape[1]])))


def text(names: tuple[str, ...]) -> Tensor:
    """The bytes of these modules, one after another."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    return torch.frombuffer(
        bytearray(b"".join((folder / f"{name}.py").read_bytes() for name in names)), dtype=torch.uint8
    )


def bits(model: Model, windows: Tensor) -> Tensor:
    """Mean bits per byte of windows [B, T + 1]."""
    logits = model(windows[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()) / math.log(2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ffn", choices=ACTIVATIONS, default="relu")
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--d", type=int, default=48)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))

    length, batch = 64, 16
    train, heldout = text(TRAIN), text(HELDOUT)
    torch.manual_seed(args.seed)
    model = Model(args.ffn, d=args.d, layers=1, heads=2, length=length)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.95), weight_decay=0.0)
    steps = max(2, args.tokens // (batch * length))
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (steps - step) / (steps - warm))
    )

    # Batches come from a generator of their own, so that all arms of a seed see the same ones.
    draw = torch.Generator().manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with (args.out / "metrics.jsonl").open("w", buffering=1) as metrics:
        for step in range(steps):
            starts = torch.randint(len(train) - length - 1, (batch, 1), generator=draw)
            loss = bits(model, train[starts + torch.arange(length + 1)].long())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            if step % 10 == 9 or step == steps - 1:
                done = {"tokens": (step + 1) * batch * length, "seconds": time.perf_counter() - began}
                print(json.dumps({**done, "train_bpb": loss.item()}), file=metrics)
        windows = heldout[: (length + 1) * 256].view(256, length + 1).long()
        with torch.no_grad():
            score = bits(model, windows).item()
        params = sum(p.numel() for p in model.parameters())
        print(json.dumps({"val_bpb": score, "params": params}), file=metrics)


if __name__ == "__main__":
    main()
