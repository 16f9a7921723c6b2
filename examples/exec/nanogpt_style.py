"""A training program whose settings are `--key=value` over a table of defaults, as nanoGPT's are.

    python examples/exec/nanogpt_style.py --activation=relu2 --learning_rate=3e-3 --seed=1337 --out_dir=/tmp/run

Such a program works in iterations and writes its loss in nats; the last lines turn that into a metric that a study
reads. The model is a small window of bytes through two layers, so that it is trained in a second or two.
"""

import ast
import json
import math
import os
import sys
import sysconfig
from pathlib import Path

import torch
import torch.nn.functional as F

# Settings; any of them can be given as --key=value.
out_dir = "out"
activation = "relu"  # relu, relu2, gelu, silu, tanh
norm = "none"  # none, layer, rms
n_embd = 24
block_size = 8  # bytes that the next one is predicted from
batch_size = 256
max_iters = 150
warmup_iters = 15
eval_iters = 16
learning_rate = 3e-3
beta2 = 0.99
seed = 1337

settings = {
    key: value for key, value in globals().items() if isinstance(value, (int, float, str)) and key[0] != "_"
}
for argument in sys.argv[1:]:
    key, equals, given = argument.removeprefix("--").partition("=")
    if not equals or key not in settings:
        sys.exit(f"unknown setting {argument!r}; settings are {', '.join(settings)}")
    kind = type(settings[key])
    settings[key] = given if kind is str else kind(ast.literal_eval(given))
globals().update(settings)

torch.manual_seed(seed)
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
os.makedirs(out_dir, exist_ok=True)

library = Path(sysconfig.get_paths()["stdlib"])
modules = {"train": ("argparse", "difflib", "pickle"), "val": ("textwrap", "shutil")}
text = {
    split: torch.tensor(list(b"".join((library / f"{name}.py").read_bytes() for name in names)))
    for split, names in modules.items()
}


def get_batch(split, generator):
    starts = torch.randint(len(text[split]) - block_size, (batch_size, 1), generator=generator)
    windows = text[split][starts + torch.arange(block_size + 1)]
    return windows[:, :-1], windows[:, -1]


ACTIVATIONS = {
    "relu": F.relu,
    "relu2": lambda x: F.relu(x).square(),
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
}
NORMS = {"none": torch.nn.Identity, "layer": torch.nn.LayerNorm, "rms": torch.nn.RMSNorm}


class Activation(torch.nn.Module):
    def forward(self, x):
        return ACTIVATIONS[activation](x)


hidden = 4 * n_embd
model = torch.nn.Sequential(
    torch.nn.Embedding(256, n_embd),
    torch.nn.Flatten(),
    torch.nn.Linear(block_size * n_embd, hidden),
    NORMS[norm](hidden),
    Activation(),
    torch.nn.Linear(hidden, 256),
)
optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, beta2))
batches = torch.Generator().manual_seed(seed)

for iteration in range(max_iters):
    rate = learning_rate * min(
        (iteration + 1) / warmup_iters, (max_iters - iteration) / (max_iters - warmup_iters)
    )
    for group in optimizer.param_groups:
        group["lr"] = rate
    inputs, targets = get_batch("train", batches)
    loss = F.cross_entropy(model(inputs), targets)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    if iteration % 25 == 24:
        print(f"iter {iteration + 1}: loss {loss.item():.4f}")

with torch.no_grad():
    fixed = torch.Generator().manual_seed(0)  # the same held-out windows in every run
    losses = [
        F.cross_entropy(model(inputs), targets)
        for inputs, targets in (get_batch("val", fixed) for _ in range(eval_iters))
    ]
val_loss = torch.stack(losses).mean().item()

# The lines that a study needs: nats a token become bits a byte, and here a token is a byte.
bytes_per_token = 1
with open(os.path.join(out_dir, "metrics.jsonl"), "a") as metrics:
    metrics.write(json.dumps({"val_bpb": val_loss / math.log(2) / bytes_per_token}) + "\n")
