"""`ranvier`: the commands, and how they end.

Exit status: 0 on success, 2 where the command or its input is wrong, 1 where training failed or
some of the inputs could not be used, 130 after Ctrl-C. An error is one line on stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import click

from ranvier import __version__
from ranvier.cli.errors import in_options
from ranvier.cli.streams import mend_streams
from ranvier.data.errors import DataWarning
from ranvier.errors import NonFiniteError, RanvierError, bounded

_COMMANDS = (
    "train",
    "evaluate",
    "predict",
    "explain",
    "summary",
    "models",
    "datasets",
    "experiments",
    "experiment",
    "bench",
)

INTERRUPTED = 130


class _Commands(click.Group):
    """Loads a command's module when the command is called, so that each starts quickly."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        found: click.Command = importlib.import_module(f"ranvier.cli.{name}").command
        return found


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ranvier", message="%(prog)s %(version)s")
def ranvier() -> None:
    """Train, evaluate and use neural networks."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit status."""
    mend_streams()
    status = run(arguments)
    _to_reader("")
    sys.exit(status)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = _Notes(warnings.showwarning)
        return _run(given)


class _Notes:
    """Prints what there is to say of data as a line, once; other warnings as ever."""

    def __init__(self, otherwise: Callable[..., None]) -> None:
        self._otherwise = otherwise
        self._told: set[str] = set()

    def __call__(self, message: Warning | str, *where: Any, **more: Any) -> None:
        if not isinstance(message, DataWarning):
            self._otherwise(message, *where, **more)
        elif str(message) not in self._told:
            self._told.add(str(message))
            print(f"ranvier: note: {message}", file=sys.stderr)


def _run(given: list[str]) -> int:
    try:
        status = ranvier.main(given, prog_name="ranvier", standalone_mode=False, obj=given)
    except click.exceptions.NoArgsIsHelpError as shown:
        print(shown.format_message(), file=sys.stderr)
        return 2
    except click.ClickException as error:
        return _fail(given, _usage(error), 2)
    except NonFiniteError as error:
        return _fail(given, in_options(error), 1)
    except RanvierError as error:
        return _fail(given, in_options(error), 2)
    except (KeyboardInterrupt, click.Abort):
        return _fail(given, "interrupted", INTERRUPTED)
    except SystemExit:  # click ends so where the reader of our output has had enough
        return 0
    except OSError as error:
        return _fail(given, f"{error.filename or 'a file'}: {error.strerror or error}", 2)
    except MemoryError:
        return _fail(given, "there is not enough memory; use a smaller batch or network", 2)
    return status or 0


def _usage(error: click.ClickException) -> str:
    """A usage error as one line that says where help is."""
    message = error.format_message().replace("\n", " ").rstrip(".")
    context = getattr(error, "ctx", None)
    if context is None:
        return message
    return f"{message}; see {context.command_path} --help"


def _fail(arguments: Sequence[str], message: str, status: int) -> int:
    line = bounded(" ".join(message.split()))
    print(f"ranvier: {line}", file=sys.stderr)
    if "--json" in arguments:
        _to_reader(json.dumps({"error": line}) + "\n")
    return status


def _to_reader(text: str) -> None:
    """Write to stdout, with all that waits there; in vain where its reader has had enough."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
