"""Measures which form of attention is fastest on this machine, and writes it to the table of `ops.attention`.

python benchmarks/attention_table.py [--rounds 7] [--limit 300] [--lengths 128 256 ...] [--out FILE]

Each case is `paribus bench attention` in a process of its own: a length, a dtype, without or with a bias (ALiBi's),
forward and backward, compiled. On a GPU the clock counts. On a CPU it is the time that one thread spent, which a busy
neighbour disturbs less, and lengths end at 1024: above, the plain form would hold too much for every pair of tokens,
however fast it is. A backend takes the place of the table's only where it is clearly faster, or where that one's case
failed. A case that takes longer than `--limit` seconds leaves its row as it was; rows of other devices stay.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from paribus.bench.contender import DTYPES, place
from paribus.bench.suites import SUITES
from paribus.ops.attention import TABLE, choose_backend, read_table

_CLEARLY = 0.95  # a switch needs at most this share of the time
_BIASES = {False: "none", True: "alibi"}


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--limit", type=float, default=300.0, help="Seconds that a case may take")
    options.add_argument("--lengths", type=int, nargs="+", help="Default: all, on a CPU up to 1024")
    options.add_argument("--out", type=Path, default=TABLE)
    given = options.parse_args()
    every = sorted(int(shape) for shape in SUITES["attention"].shapes)
    lengths = given.lengths or [length for length in every if length <= 1024 or place().type != "cpu"]
    for length in lengths:
        for dtype in DTYPES:
            for biased, bias in _BIASES.items():
                name = f"{length} {dtype} bias={bias}"
                document = _bench(length, dtype, biased, rounds=given.rounds, limit=given.limit)
                if isinstance(document, str):
                    print(f"{name}: {document}", file=sys.stderr)
                    continue
                row = _row(document, length=length, dtype=dtype, biased=biased, table=given.out)
                if row is not None:
                    _put(given.out, row, ran_on=document["ran_on"])
                    print(f"{name}: {row['backend']}, {row['milliseconds']}", file=sys.stderr)


def _bench(length: int, dtype: str, biased: bool, *, rounds: int, limit: float) -> dict[str, Any] | str:
    """The document of `paribus bench`, or why there is none."""
    command = [sys.executable, "-m", "paribus", "bench", "attention", f"dtype={dtype}"]
    command += [f"bias={_BIASES[biased]}", "--shape", str(length), "--rounds", str(rounds)]
    command += ["--threads", "1", "--processes", "1", "--only", "plain,sdpa,flex", "--json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        told, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its worker too, which may be deep in a compiler
        process.communicate()
        return f"not done after {limit:g} s"
    return json.loads(told) if process.returncode == 0 else errors.strip().splitlines()[-1]


def _row(
    document: dict[str, Any], *, length: int, dtype: str, biased: bool, table: Path
) -> dict[str, Any] | None:
    """A row of the table: each backend's milliseconds, and the one to take; None if nothing ran."""
    device = place().type
    clock = "cpu_milliseconds" if device == "cpu" else "milliseconds"
    found = {
        row["name"].removeprefix("ours, "): round(row[clock], 3)
        for row in document["rows"]
        if row["name"] in ("ours, plain", "ours, sdpa", "ours, flex") and row.get(clock)
    }
    if not found:
        return None
    backend: str = choose_backend(
        seq_len=length, device_type=device, dtype=DTYPES[dtype], biased=biased, table=read_table(table)
    )
    fastest = min(found, key=lambda name: found[name])
    if backend not in found or found[fastest] <= _CLEARLY * found[backend]:
        backend = fastest
    sizes = {name: document["options"][name] for name in ("batch_size", "num_heads", "head_dim")}
    return {
        "seq_len": length,
        "dtype": dtype,
        "bias": biased,
        "backend": backend,
        "milliseconds": found,
        **sizes,
        "rounds": document["rounds"],
    }


def _put(table: Path, row: dict[str, Any], *, ran_on: dict[str, Any]) -> None:
    """Write a row in the place of the one for the same case; each says what it was measured on."""
    device = place().type
    written = json.loads(table.read_text(encoding="utf-8")) if table.exists() else {"devices": {}}
    rows = written["devices"].setdefault(device, {"rows": []})["rows"]
    case = ("dtype", "bias", "seq_len")
    rows[:] = [old for old in rows if any(old[key] != row[key] for key in case)]
    on = {"name": ran_on["gpu"] or ran_on["cpu"], "torch": ran_on["torch"]}
    rows.append({**row, "by": "clock" if device == "cuda" else "time spent by one thread", "on": on})
    rows.sort(key=lambda row: [row[key] for key in case])
    lines = ",\n".join(
        f"  {json.dumps(name)}: {_listed(held['rows'])}" for name, held in written["devices"].items()
    )
    table.write_text(f'{{"devices": {{\n{lines}\n}}}}\n', encoding="utf-8")


def _listed(rows: list[dict[str, Any]]) -> str:
    """Rows as JSON, one on a line."""
    return '{"rows": [\n' + ",\n".join(f"    {json.dumps(row)}" for row in rows) + "\n  ]}"


if __name__ == "__main__":
    main()
