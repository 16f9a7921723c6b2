"""What HTML reports about text share: the look, and how a template of a package is filled.

A page is one file that loads nothing and runs nothing; what it says belongs to the package that says it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any


def filled(
    package: str, template: str, values: Mapping[str, Any], *, filters: Mapping[str, Callable[..., Any]]
) -> str:
    """The template of that name in `package`/templates with `values`, which are escaped; `css` is the common look."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"whole": lambda value: f"{value:,}", **filters}
    css = (resources.files(__name__) / "templates" / "page.css").read_text("utf-8")
    text = (resources.files(package) / "templates" / template).read_text("utf-8")
    return environment.from_string(text).render(values, css=css)
