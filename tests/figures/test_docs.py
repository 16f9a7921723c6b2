"""docs/parts is what the cards and the figures say today."""

import json
import re
from pathlib import Path

import pytest

from paribus import registry
from paribus.figures.catalogue import FIGURES
from paribus.figures.docs import COMMAND, fingerprints, pages, write
from paribus.parts.norm.rmsnorm import RMSNorm

FOLDER = Path(__file__).parents[2] / "docs" / "parts"


@pytest.mark.parametrize("name", pages())
def test_page_is_not_stale(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == pages()[name], f"run {COMMAND}"


def test_figures_are_not_stale() -> None:
    kept, now = json.loads((FOLDER / "figures" / "figures.json").read_text()), fingerprints()
    assert {name: set(sizes) for name, sizes in kept.items()} == {
        name: set(sizes) for name, sizes in now.items()
    }
    for name, sizes in now.items():
        assert kept[name] == pytest.approx(sizes, rel=0.02, abs=1e-6), f"{name}: run {COMMAND}"
    assert {path.stem for path in FOLDER.glob("figures/*.svg")} == set(FIGURES)


def test_every_part_has_its_section_and_every_link_its_file() -> None:
    for slot, cards in registry.catalog().items():
        ours = [name for name, card in cards.items() if card.factory.__module__.startswith("paribus.")]
        text = (FOLDER / f"{slot}.md").read_text(encoding="utf-8")
        assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == ours
        for link in re.findall(r"\]\((figures/[^)]*)\)", text):
            assert (FOLDER / link).is_file()


def test_a_changed_card_makes_its_page_stale(own_registry: registry.Registry) -> None:
    before = pages()
    registry.part("norm", "new", formula="x", paper="here", traps=("none",))(RMSNorm)
    changed = {name for name, text in pages().items() if text != before[name]}
    assert changed == {"norm.md", "README.md"}


@pytest.mark.slow
def test_writing_gives_pages_figures_and_hashes(tmp_path: Path) -> None:
    write(tmp_path)
    assert {path.name for path in tmp_path.glob("*.md")} == set(pages())
    assert (tmp_path / "figures" / "rope.svg").read_text().startswith("<?xml")
