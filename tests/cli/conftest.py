import functools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from paribus.cli.studies import register
from paribus.errors import ParibusError

from .studies import Done, Studies

Here = Callable[[typer.Typer, str], Callable[..., Done]]


@pytest.fixture
def in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    """Calls of an app, its name before the arguments, started in `tmp_path`, on a terminal of 200 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(app: typer.Typer, name: str, *arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", [*name.split(), *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            app()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        except ParibusError as error:
            code = error.exit_code
            print(f"paribus: {error}", file=sys.stderr)
        said = capsys.readouterr()
        return Done(returncode=code, stdout=said.out, stderr=said.err)

    return lambda app, name: functools.partial(call, app, name)


@pytest.fixture
def studies_in(in_this_process: Here) -> Studies:
    """The four commands on finished studies."""
    app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode="rich")
    register(app)
    return in_this_process(app, "study")
