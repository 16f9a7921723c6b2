"""Which files a checkpoint's folder may send its reader to: those inside it, and where a hub's cache keeps them.

A folder from the internet may hold links, and an index names files; neither may lead to the reader's own files.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from paribus.errors import RequestError, shown
from paribus.files.opening import answering, place


def inside(folder: Path, name: str, *, begin: str) -> Path:
    """`folder / name`, whose real place, links followed, is in the folder; messages begin with `begin`.

    One way out is allowed: in the cache of the Hugging Face hub the files of
    `models--org--name/snapshots/revision` are links into `models--org--name/blobs`.
    Raises `RequestError` if the name leads anywhere else. The file need not be there.
    """
    said = f"{begin} {shown(name, at_most=120)!r}"
    plain = PurePosixPath(name)
    if not plain.name or plain.is_absolute() or ".." in plain.parts or "\\" in name or not name.isprintable():
        raise RequestError(f"{said}, which is not the name of a file in its folder")
    path = folder / name
    with answering(path):
        root = folder.resolve()
        try:
            real = path.resolve()
        except RuntimeError as error:  # a link to itself, before Python 3.13
            raise RequestError(f"{said}, a link that leads to itself") from error
    if not real.is_relative_to(root) and real.parent != _blobs(root):
        raise RequestError(
            f"{said}, a link out of the folder to {place(real)}: only files in {place(folder)} are read, so put "
            "the file there in place of the link"
        )
    return path


def _blobs(root: Path) -> Path | None:
    """The folder of the blobs to which the links of a cached snapshot lead; None if `root` is in no snapshot."""
    for folder in (root, *root.parents):
        cache = folder.parent.parent
        if folder.parent.name == "snapshots" and cache.name.startswith("models--"):
            return cache / "blobs"
    return None
