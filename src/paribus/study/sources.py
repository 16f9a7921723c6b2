"""The files that a study's trials are computed by: a program and what its command names, or a user's own parts.

Their hashes stand in the plan. Whoever edits one while the study runs would otherwise get later trials of another
program under the same name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from paribus.errors import WorkError
from paribus.study.launch import Finished, Launcher
from paribus.study.plan import VERSIONS, Trial


@dataclass(frozen=True)
class UneditedLauncher:
    """A launcher that goes on only while the files in a plan's `code` are what they were when it was made."""

    launcher: Launcher
    code: Mapping[str, str]
    _seen: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of files that were as planned

    def run(self, trials: Sequence[Trial], *, progress: Callable[[int], None]) -> Iterator[Finished]:
        """As the launcher's own; raises `WorkError` before a trial of an edited file could start, or count."""
        self._check()
        for finished in self.launcher.run(trials, progress=progress):
            self._check()
            yield finished

    def _check(self) -> None:
        for name, planned in self.code.items():
            if name not in VERSIONS and not self._is(Path(name).expanduser(), planned):
                raise WorkError(
                    f"{name} was changed while the study ran; finished trials are kept, put it back as it was and run "
                    "the same command again, or give another --out to study it as it is now"
                )

    def _is(self, file: Path, planned: str) -> bool:
        """Whether the file has this hash; it is read again only where its inode says that it was touched."""
        try:
            status = file.stat()
            seen = (status.st_ino, status.st_size, status.st_ctime_ns)
            if self._seen.get(str(file)) == seen:
                return True
            with file.open("rb") as content:
                same = hashlib.file_digest(content, "sha256").hexdigest() == planned
        except OSError:
            return False
        if same:
            self._seen[str(file)] = seen
        return same
