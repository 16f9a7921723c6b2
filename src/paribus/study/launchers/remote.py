"""What a trial needs on another machine, and how it finds it there: the plan travels, data and packages do not.

A trial travels as JSON, with the text of the user's own part files. The dataset is named by its content hash and
opened from the cache of the machine that works, or prepared there again; the packages have to be installed there.
How trials and results travel belongs in the launchers.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paribus.errors import ParibusError, RequestError, WorkError
from paribus.study import environment
from paribus.study.launch import worker_environment
from paribus.study.plan import Trial
from paribus.text.data import Dataset, default_cache, load_dataset, prepare
from paribus.text.data.corpus import STDLIB
from paribus.text.tokenizers import get_tokenizer

if TYPE_CHECKING:
    from paribus.study.worker import TrialRunner

_PART_FILE = ".py:"  # what makes a part's name an address, as in `my_file.py:MyPart`
_BYTES = "latin-1"  # any bytes as text and back, for JSON
_PACKAGES = ("paribus", "torch")
_COMPILED = "TORCHINDUCTOR_CACHE_DIR"


def open_dataset(data: Mapping[str, Any]) -> Dataset:
    """The prepared text that `data` (a plan's) describes, by its sha256 from this machine's cache, else made again.

    Making it again takes `data["source"]`, and what comes out must have the same hash. A study of tokenizers has a text
    for each, made with tokenizers that are nowhere else: those are opened only. Raises `WorkError` with what to do about
    it.
    """
    folder = default_cache() / "datasets" / data["sha256"]
    if of_arms := data.get("tokenizers"):
        try:
            found = {own["sha256"]: load_dataset(folder.parent / own["sha256"]) for own in of_arms.values()}
        except RequestError as error:
            raise WorkError(
                f"{platform.node()} does not have the text {data['name']!r} as each tokenizer of this study reads it: set "
                "PARIBUS_CACHE to a folder that all machines share"
            ) from error
        return found[data["sha256"]]
    with _alone(folder):
        with contextlib.suppress(RequestError):
            return load_dataset(folder)
        mend = (
            f"copy {folder} there from the machine that began the study, or set PARIBUS_CACHE to a folder that all "
            "machines share"
        )
        lacks = f"{platform.node()} does not have the text {data['name']!r} of this study"
        try:
            again = prepare(
                data["source"],
                tokenizer=get_tokenizer(data["tokenizer"]),
                cache=default_cache(),
                text_field=data.get("text_field") or "text",
            )
        except ParibusError as error:
            raise WorkError(f"{lacks} and could not prepare it ({error}): {mend}") from error
    if again.sha256 != data["sha256"]:
        raise WorkError(f"{lacks}, and {data['source']} holds another text there: {mend}")
    return again


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait for others on this machine who look for the same dataset: preparing it once is enough."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f".{folder.name[:16]}.lock", "w") as lock:
        with contextlib.suppress(
            OSError
        ):  # some network file systems have no locks; then it is prepared twice
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remote_environment(threads: int) -> dict[str, str]:
    """Settings that a worker on another machine must start with; its caches are its own affair."""
    return {name: value for name, value in worker_environment(threads).items() if name != _COMPILED}


def terms(data: Mapping[str, Any], *, folder: Path) -> dict[str, Any]:
    """What all trials of the study in `folder` share: its data, the versions of what computes, and a name."""
    source = str(data.get("source") or data["name"])
    if source != STDLIB:
        source = str(Path(source).expanduser().absolute())
    shared = {
        "data": {**data, "source": source},
        "versions": {name: _version(name) for name in _PACKAGES},
        "source": environment.source(),
        "place": f"{platform.node()}:{folder.absolute()}",
    }
    return {**shared, "study": hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:16]}


def pack(trial: Trial) -> dict[str, Any]:
    """The trial as plain data, with the text of every part file that it names."""
    raw = json.loads(trial.to_json())
    files = {
        path: Path(path).expanduser().read_bytes().decode(_BYTES)
        for path in sorted({text.rpartition(":")[0] for text in _texts(raw) if _PART_FILE in text})
        if Path(path).expanduser().is_file()
    }
    return {"trial": raw, "files": files}


def unpack(package: Mapping[str, Any]) -> Trial:
    """The trial of `pack`, its part files written to this machine's cache under their hash."""
    here = {path: str(_keep(path, text)) for path, text in package["files"].items()}

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: moved(item) for key, item in value.items()}
        if isinstance(value, list):
            return [moved(item) for item in value]
        if isinstance(value, str) and (path := value.rpartition(":")[0]) in here:
            return f"{here[path]}:{value.rpartition(':')[2]}"
        return value

    return Trial.from_json(json.dumps(moved(package["trial"])))


def _keep(path: str, text: str) -> Path:
    """A file of this text in the cache. Its hash is in its path, so an edited part is another module."""
    kept = default_cache() / "parts" / hashlib.sha256(text.encode(_BYTES)).hexdigest()[:16] / Path(path).name
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as file:
            file.write(text.encode(_BYTES))
        os.replace(file.name, kept)  # whoever else writes it writes the same
    return kept


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


@dataclass(kw_only=True)
class RemoteRunner:
    """Runs trials of one study on this machine, one after another; opens the data at the first.

    Checkpoints go to `checkpoints`, or to this machine's cache, where a study's next worker finds them.
    """

    terms: Mapping[str, Any]
    checkpoints: Path | None = None
    checkpoint_seconds: float = 30.0
    _runner: TrialRunner | None = field(default=None)

    def run(self, package: Mapping[str, Any], *, progress: Callable[[int], None]) -> dict[str, Any]:
        """The result of one trial, with the `host` and the `machine` it ran on; `progress` gets its tokens done.

        Whatever goes wrong makes it `failed`, and `unfit` if this machine would fail any trial of the study.
        """
        try:
            if self._runner is None:
                self._runner = self._open()
        except (ParibusError, OSError) as error:
            return {"status": "failed", "reason": str(error), "host": platform.node(), "unfit": True}
        try:
            trial = unpack(package)
            per_step = trial.train.tokens_per_step
            result = self._runner.run(trial, progress=lambda done, total: progress(done * per_step))
        except Exception as error:  # noqa: BLE001 - whatever a part raises is this trial's result
            self._runner.forget()
            traceback.print_exc(file=sys.stderr)
            last = (str(error).strip().splitlines() or [""])[0]
            result = {"status": "failed", "reason": f"{type(error).__name__}: {last}"}
        return {**result, "host": platform.node(), "machine": environment.describe()}

    def _open(self) -> TrialRunner:
        for name, version in self.terms["versions"].items():
            if (here := _version(name)) != version:
                raise WorkError(
                    f"{platform.node()} has {name} {here} and the study began with {version}: install {name} "
                    f"{version} there, or give the study the machines that have it"
                )
        if environment.source() != self.terms["source"]:
            raise WorkError(
                f"{platform.node()} has paribus {_version('paribus')} with other lines than the study began with: "
                "install the same there, or give the study the machines that have it"
            )
        # Before torch is imported: programs are for one kind of processor, and a cache may be shared by several.
        os.environ.setdefault(_COMPILED, str(default_cache() / f"inductor-{_processor()}"))
        import torch

        from paribus.study.worker import TrialRunner

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        checkpoints = self.checkpoints or default_cache() / "checkpoints" / self.terms["study"]
        return TrialRunner(
            open_dataset(self.terms["data"]),
            checkpoints=checkpoints,
            checkpoint_seconds=self.checkpoint_seconds,
        )


def _version(package: str) -> str:
    """Without its build: 2.13.0+cpu and 2.13.0+cu130 compute the same."""
    return importlib.metadata.version(package).partition("+")[0]


def _processor() -> str:
    """Short hash of the model and abilities of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        told = "\n".join(
            sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
        )
    except OSError:
        told = platform.processor() or platform.machine()
    return hashlib.sha256(told.encode()).hexdigest()[:8]
