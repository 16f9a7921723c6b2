"""How long help and imports take: whole processes, interleaved, medians.

    python benchmarks/startup.py [--rounds 9]

`paribus --help` must not wait for torch, and `import paribus` must cost no more than `import torch`; the last
line loads everything that training needs.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

CONTENDERS = {
    "python -c pass": ["-c", "pass"],
    "paribus --help": ["-m", "paribus", "--help"],
    "paribus study --help": ["-m", "paribus", "study", "--help"],
    "import torch": ["-c", "import torch"],
    "import paribus": ["-c", "import paribus"],
    "from paribus import Transformer": ["-c", "from paribus import Transformer, ModelConfig, build"],
}


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rounds", type=int, default=9)
    rounds = options.parse_args().rounds
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name, arguments in CONTENDERS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - started)
    torch = statistics.median(seconds["import torch"])
    print(f"{'':34}{'seconds':>10}{'spread':>16}{'/ import torch':>16}")
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:34}{median:10.2f}{min(values):9.2f}-{max(values):.2f}{median / torch:18.2f}")


if __name__ == "__main__":
    main()
