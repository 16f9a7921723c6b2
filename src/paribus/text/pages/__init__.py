"""A page as one HTML file of its own, without scripts, that loads nothing from anywhere: what all reports of this wing share.

A report has a template that extends `page.html.j2`, and perhaps a stylesheet that is put after the common one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_SHARED = resources.files("paribus.text.pages") / "templates"


def rendered(
    folder: Traversable, name: str, values: Mapping[str, Any], *, filters: Mapping[str, Callable[..., Any]]
) -> str:
    """The page of the template `name.html.j2` in `folder` with `values`, which are escaped; `name.css` is its own style."""
    import jinja2

    def load(template: str) -> str:
        return ((_SHARED if template == "page.html.j2" else folder) / template).read_text("utf-8")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(load),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= filters
    css = (_SHARED / "page.css").read_text("utf-8") + (folder / f"{name}.css").read_text("utf-8")
    return environment.get_template(f"{name}.html.j2").render(values, css=css)
