"""Where a page is to be written, looked at before the work begins."""

from __future__ import annotations

from pathlib import Path

from paribus.errors import RequestError, shown


def check_page(out: Path, *, option: str) -> None:
    """Raise `RequestError` if `out`, which `option` gave, is no place for an .html file."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise RequestError(f"{option} is an .html file, as in report.html; it is {shown(out)}")
    if not out.parent.is_dir():
        raise RequestError(f"{shown(out.parent)} is no folder to write {shown(out.name)} in")
