"""`paribus inspect` and `paribus diff`: what checkpoints are made of, and what differs between two."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from paribus.families.inspecting.difference import Diff
    from paribus.families.verifying import LogitCheck

_Path = Annotated[Path, typer.Argument(help="A checkpoint's folder, or its config.json alone.")]
_Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout; everything else on stderr.")
]
_Context = Annotated[
    int | None,
    typer.Option(
        min=1, help="Tokens at which costs are told. Default: 4,096, or as many as the model reads."
    ),
]


def inspect(
    path: _Path,
    as_json: _Json = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Load the weights and compare logits with transformers.")
    ] = False,
    context: _Context = None,
) -> None:
    """Say which part a checkpoint has in every slot, how large it is, what it costs, and how that is known.

    Only the config and the headers of the weights are read, and no code that came with them is run. `sure` says what
    a claim rests on: tensors, config, family (known of the model type) or nothing. With --verify the exit code is 1
    if logits differ from those of transformers.

    Example: [bold]paribus inspect models/pythia-70m[/bold]
    """
    from paribus.cli.display import Display
    from paribus.families.inspecting.inspection import inspect

    display = Display()
    inspection = inspect(path, context=context)
    checks = _verified(path, display) if verify else ()
    if as_json:
        document = dataclasses.asdict(inspection)
        document |= {"verification": [dataclasses.asdict(check) for check in checks]} if verify else {}
        _print_json(document)
    else:
        from paribus.cli.inspection_tables import checks_table, inspection_table

        display.show(inspection_table(inspection))
        if verify:
            display.show(checks_table(checks))
    if not all(check.passed for check in checks):
        raise typer.Exit(1)


def diff(a: _Path, b: _Path, as_json: _Json = False, context: _Context = None) -> None:
    """Say what differs between two checkpoints, or bare configs, part by part.

    Example: [bold]paribus diff models/pythia-70m models/pythia-160m[/bold]
    """
    from paribus.cli.display import Display
    from paribus.cli.inspection_tables import diff_table
    from paribus.families.inspecting.difference import diff

    found = diff(a, b, context=context)
    if as_json:
        _print_json(_plain(found))
        return
    Display().show(diff_table(found))


def _verified(path: Path, display: Any) -> tuple[LogitCheck, ...]:
    import warnings

    from paribus.families.loading import CheckpointWarning
    from paribus.families.verifying import verify_logits

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CheckpointWarning)
        checks = verify_logits(path)
    for warning in caught:
        if issubclass(warning.category, CheckpointWarning):
            display.say(str(warning.message))
    return checks


def _plain(found: Diff) -> dict[str, Any]:
    """The difference as JSON has it: claims of both sides in place of values by layers."""
    return {
        "a": found.a.path,
        "b": found.b.path,
        "context": found.a.context,
        "differences": [
            {
                "section": each.section,
                "name": each.name,
                "a": [{"value": value, "layers": layers} for layers, value in each.a.items()],
                "b": [{"value": value, "layers": layers} for layers, value in each.b.items()],
                "known": each.known,
            }
            for each in found.differences
        ],
        "same": list(found.same),
        "warnings": {"a": list(found.a.warnings), "b": list(found.b.warnings)},
    }


def _print_json(document: dict[str, Any]) -> None:
    # Configs may hold infinities, which JSON has no word for.
    print(json.dumps(_finite(document), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return str(value) if isinstance(value, float) and value - value != 0 else value
