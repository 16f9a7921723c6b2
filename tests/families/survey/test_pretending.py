"""A pass without numbers, and what is said where there can be none."""

import pytest
import torch
from torch.distributions import Distribution, Normal

from paribus.families.survey.pretending import pretending
from paribus.families.survey.reasons import told

_CHECKED = Distribution._validate_args


def test_numbers_that_are_there_are_kept_and_those_that_are_not_are_zero() -> None:
    with pretending():
        assert torch.ones(3).sum().item() == 3
        assert torch.ones(3, device="meta").sum().item() == 0
        assert f"expert_{torch.ones((), device='meta')}" == "expert_0"


def test_tensors_with_and_without_numbers_meet() -> None:
    with pretending():
        assert (torch.ones(2, device="meta") + torch.ones(2)).is_meta


def test_distributions_do_not_look_at_what_is_not_there() -> None:
    with pretending(), torch.device("meta"):
        Normal(0, 1)
    assert Distribution._validate_args == _CHECKED


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImportError("X requires the timm library but it was not found"), "needs the library timm ("),
        (TypeError("'NoneType' object is not subscriptable"), "its default config leaves its layers to"),
        (AttributeError("'AConfig' object has no attribute 'b'"), "its default AConfig has no `b` ("),
        (KeyError("full"), "KeyError: 'full'"),
    ],
)
def test_reasons_are_told_in_plain_words_where_they_are_known(error: Exception, words: str) -> None:
    assert told(error).startswith(words)
