import sys
from pathlib import Path

import pytest
import typer

from paribus.cli.studies import register
from paribus.errors import ParibusError

from .studies import Done, Studies


@pytest.fixture
def studies_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Studies:
    """The four commands in this process, started in `tmp_path`, on a terminal of 200 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode="rich")
    register(app)

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["paribus study", *map(str, arguments)])
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

    return call
