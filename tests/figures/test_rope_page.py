"""Every line of code in docs/rope.md runs, in order, and holds what the text says."""

import ast
import re
import runpy
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "rope.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_page_has_a_check_for_every_section_but_the_first() -> None:
    sections = re.split(r"\n## ", PAGE)[1:]
    assert [text.splitlines()[0] for text in sections if "assert" not in text] == ["The wish"]
    assert len(SNIPPETS) >= 8 and all("assert" in snippet for snippet in SNIPPETS)


def test_every_step_holds(tmp_path: Path) -> None:
    script = tmp_path / "rope_page.py"
    script.write_text("".join(SNIPPETS))
    assigned = {
        target.id
        for statement in ast.parse(script.read_text()).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    # The page's own assertions raise where a step does not hold; what it assigns is there when all were passed.
    assert len(assigned) > 8 and assigned <= runpy.run_path(str(script)).keys()


@pytest.mark.parametrize("name", re.findall(r"\((parts/[^)]*)\)", PAGE))
def test_what_the_page_links_to_is_there(name: str) -> None:
    assert (Path(__file__).parents[2] / "docs" / name).is_file()
