"""What a source is made of: which files, in which format, and the documents in them.

Listing reads no text, so that an unchanged source can be recognised by names, sizes and times alone. What is
inside a file belongs in `readers.py`.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sysconfig
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from paribus.errors import RequestError, shown
from paribus.text.data.failures import reading
from paribus.text.data.readers import documents_of, spans_of
from paribus.text.data.spans import Document, SourceFile, Span

STDLIB = "stdlib"
SUPPORTED = "a UTF-8 text file of any other ending, .jsonl, .jsonl.gz, .parquet, or a folder of these"

_FORMATS = {".jsonl": "jsonl", ".jsonl.gz": "jsonl.gz", ".ndjson": "jsonl", ".parquet": "parquet"}
_ARCHIVES = frozenset({".7z", ".bz2", ".gz", ".lz4", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst"})
_OFFICE = frozenset({".doc", ".docx", ".epub", ".odt", ".pdf", ".ppt", ".pptx", ".rtf", ".xls", ".xlsx"})
_ARRAYS = frozenset({".arrow", ".h5", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth", ".safetensors"})
# Not left to a look inside: some of these pass for UTF-8.
_NOT_TEXT = _ARCHIVES | _OFFICE | _ARRAYS
# Tests are odd text, `encodings` and `pydoc_data` are tables, and the others differ from machine to machine.
_STDLIB_TESTS = frozenset({"test", "tests", "idle_test"})
_STDLIB_TABLES = frozenset({"encodings", "pydoc_data"})
_STDLIB_LOCAL = frozenset({"__pycache__", "lib-dynload", "site-packages", "dist-packages"})
_STDLIB_FOLDERS_LEFT_OUT = _STDLIB_TESTS | _STDLIB_TABLES | _STDLIB_LOCAL
_STDLIB_FILES_LEFT_OUT = ("test_", "_sysconfigdata", "sitecustomize", "usercustomize")


@dataclass(frozen=True)
class Source:
    """All files of a source, sorted by path; `skipped` counts those that cannot be text by their kind or ending."""

    name: str
    place: str
    files: tuple[SourceFile, ...]
    skipped: int

    @property
    def num_bytes(self) -> int:
        return sum(file.size for file in self.files)

    def fingerprint(self) -> str:
        """sha256 over path, size and mtime of every file: equal when nothing was touched."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(os.fsencode(file.path.absolute()))
            digest.update(f"\0{file.size}\0{file.mtime_ns}\0{file.format}\n".encode())
        return digest.hexdigest()

    def spans(self) -> Iterator[Span]:
        """Every part of every file that can be read by itself, in order."""
        for file in self.files:
            yield from spans_of(file)

    def documents(self, text_field: str) -> Iterator[Document]:
        """Every document of every file; `position` counts source bytes up to it over all files."""
        before = 0
        for span in self.spans():
            for document in documents_of(span, text_field):
                yield Document(document.text, before + min(document.position, span.size))
            before += span.size


def list_source(source: str | os.PathLike[str], *, leave_out: Collection[Path] = ()) -> Source:
    """The files behind `source`: "stdlib", a file or a folder; folders in `leave_out` are not entered.

    Raises `RequestError` if there is nothing there that could be read.
    """
    given = os.fspath(source)
    if given == STDLIB:
        return _standard_library()
    root = Path(os.path.expanduser(given))
    try:
        status = root.stat()
    except PermissionError as error:
        raise RequestError(f"{shown(root)} cannot be read: permission denied") from error
    except (OSError, ValueError) as error:  # a path with a NUL or of a million letters is not there either
        raise RequestError(
            f"there is no file or folder {shown(root)[:200]!r}: give a path to text, or the word {STDLIB}"
        ) from error
    if not given:
        raise RequestError(f"the source is an empty string: give a path to text, or the word {STDLIB}")
    name = root.resolve().name or str(root)
    if stat.S_ISDIR(status.st_mode):
        files, skipped = _walk(root, leave_out)
        if not files:
            raise no_text(shown(root), skipped, skipped)
        return Source(name, shown(root), tuple(files), skipped)
    if not stat.S_ISREG(status.st_mode):
        raise RequestError(f"{shown(root)} is neither a file nor a folder: give {SUPPORTED}")
    if status.st_size == 0:
        raise RequestError(f"{shown(root)} is empty: give {SUPPORTED}")
    if (ending := _ending(root)) in _NOT_TEXT:
        raise RequestError(f"{shown(root)} ends in {ending}, which is not read: give {SUPPORTED}")
    format = _FORMATS.get(ending, "text")
    return Source(name, shown(root), (SourceFile(root, status.st_size, status.st_mtime_ns, format),), 0)


def no_text(place: str, looked_at: int, skipped: int) -> RequestError:
    """The error for a source in which nothing was text."""
    return RequestError(
        f"{place} holds no text (documents looked at: {looked_at:,}, skipped as binary or not UTF-8: "
        f"{skipped:,}, hidden files are not read)"
    )


def _standard_library() -> Source:
    root = Path(sysconfig.get_path("stdlib"))
    files = []
    for folder, folders, names in os.walk(root):
        folders[:] = [
            name
            for name in folders
            if name not in _STDLIB_FOLDERS_LEFT_OUT and not name.startswith("config-")
        ]
        for name in names:
            if name.endswith(".py") and not name.startswith(_STDLIB_FILES_LEFT_OUT):
                path = Path(folder, name)
                with reading(path):
                    status = path.stat()
                files.append(SourceFile(path, status.st_size, status.st_mtime_ns, "file"))
    if not files:
        raise RequestError(
            f"this Python keeps no standard library as files in {shown(root)}: give a path to text"
        )
    return Source(STDLIB, STDLIB, tuple(sorted(files, key=lambda file: file.path)), 0)


def _walk(root: Path, leave_out: Collection[Path]) -> tuple[list[SourceFile], int]:
    """Files below `root` and the number of those that cannot be text; every real folder is entered once."""
    # Links are followed (model hubs store data behind them), so folders are known by inode: a loop ends.
    seen = {_identity(folder.stat()) for folder in leave_out if folder.is_dir()}
    seen.discard(_identity(root.stat()))
    files: list[SourceFile] = []
    skipped = 0
    waiting = [root]
    while waiting:  # not recursive: folders may be nested more deeply than Python may call
        folder = waiting.pop()
        with reading(folder):
            if (identity := _identity(folder.stat())) in seen:
                continue
            seen.add(identity)
            entries = sorted(
                (entry for entry in os.scandir(folder)), key=lambda entry: entry.name, reverse=True
            )
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = folder / entry.name
            try:
                status = entry.stat()
            except PermissionError as error:
                raise RequestError(f"{shown(path)} cannot be read: permission denied") from error
            except OSError:  # a link to nowhere or to itself
                skipped += 1
                continue
            if stat.S_ISDIR(status.st_mode):
                waiting.append(path)
            elif stat.S_ISREG(status.st_mode) and (ending := _ending(path)) not in _NOT_TEXT:
                format = _FORMATS.get(ending, "file")
                files.append(SourceFile(path, status.st_size, status.st_mtime_ns, format))
            else:
                skipped += 1
    return sorted(files, key=lambda file: file.path), skipped


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _ending(path: Path) -> str:
    name = path.name.lower()
    return ".jsonl.gz" if name.endswith(".jsonl.gz") else path.suffix.lower()
