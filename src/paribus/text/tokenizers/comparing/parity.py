"""Whether a tokenizer treats languages alike: tokens of the same sentences in each of them.

Only text that says the same, line by line, can tell; without it nothing is said.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paribus.errors import RequestError, shown
from paribus.text.tokenizers.comparing.intervals import ratio
from paribus.text.tokenizers.protocol import Tokenizer

Parallel = Mapping[str, tuple[str, ...]]


def read_parallel(files: Mapping[str, Path]) -> Parallel:
    """The lines of each language's file; those that are blank in all languages are left out.

    Raises `RequestError` for fewer than two languages, a file that is no UTF-8 text, files of different numbers of
    lines, and a line that is blank in some languages only.
    """
    if len(files) < 2:
        raise RequestError(
            "parity compares languages: give --parallel lang=FILE at least twice, the same lines in each"
        )
    lines: dict[str, list[str]] = {}
    for language, path in files.items():
        try:
            lines[language] = path.read_bytes().decode("utf-8").replace("\r\n", "\n").split("\n")
        except OSError as error:
            raise RequestError(f"{shown(path)} cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise RequestError(f"{shown(path)} is not UTF-8 text: byte {error.start:,} is wrong") from error
        if not lines[language][-1]:
            del lines[language][-1]
    numbers = {language: len(each) for language, each in lines.items()}
    if len(set(numbers.values())) > 1:
        counted = ", ".join(f"{language} has {number:,}" for language, number in numbers.items())
        raise RequestError(f"the parallel files are not line by line the same text: {counted} lines")
    kept = []
    for number, row in enumerate(zip(*lines.values(), strict=True), 1):
        blank = [not line.strip() for line in row]
        if any(blank) and not all(blank):
            empty = list(lines)[blank.index(True)]
            raise RequestError(f"line {number:,} of the parallel text is blank in {empty} and not in all")
        if not any(blank):
            kept.append(row)
    if not kept:
        raise RequestError("the parallel files have no line that is not blank")
    return dict(zip(lines, zip(*kept, strict=True), strict=True))


def parity(tokenizer: Tokenizer, parallel: Parallel) -> dict[str, Any]:
    """Tokens of each language over those of the first, sentence by sentence: the mean with its interval over sentences.

    Source: Petrov et al. 2023 (arXiv:2305.15425), who call it the premium of a language. Near 1 is parity.
    """
    counts = {
        language: [max(1, len(tokenizer.encode(line))) for line in lines]
        for language, lines in parallel.items()
    }
    reference, *others = counts
    ones = [1.0] * len(counts[reference])
    return {
        "reference": reference,
        "sentences": len(ones),
        "languages": {
            language: dataclasses.asdict(
                ratio(
                    [here / there for here, there in zip(counts[language], counts[reference], strict=True)],
                    ones,
                )
            )
            for language in others
        },
    }
