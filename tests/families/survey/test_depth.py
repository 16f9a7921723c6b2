"""In how many layers something holds, told from a few."""

import pytest

from paribus.families.survey.depth import Depth

FULL, WINDOW = "full", "window"


@pytest.mark.parametrize(
    ("built", "whole", "holds", "expected"),
    [
        ([FULL] * 2, [FULL] * 9, [True, True], ""),
        ([FULL, WINDOW], [FULL, WINDOW, WINDOW, WINDOW], [False, True], " in 3 of 4 layers"),
        ([FULL] * 4, [FULL] * 4, [True, False, True, True], " in 3 of 4 layers"),
        ([FULL] * 4, [FULL] * 8, [True, False, True, True], " in some layers"),
        ([FULL, WINDOW], [FULL, WINDOW, "third"], [False, True], " in some layers"),
        (["?"] * 2, ["?"] * 4, [False, True], " in some layers"),
    ],
)
def test_layers_of_one_type_are_alike(
    built: list[str], whole: list[str], holds: list[bool], expected: str
) -> None:
    assert Depth(built=built, whole=whole).share(dict(enumerate(holds))) == expected


def test_layers_that_do_not_attend_are_not_counted() -> None:
    depth = Depth(built=["linear", FULL, WINDOW], whole=["linear", FULL, WINDOW] * 2)
    assert depth.share({1: False, 2: True}) == " in 1 of 2 layers"
