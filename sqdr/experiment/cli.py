"""The command `sqdr`: train, search, compare and use classifiers, list and time the backends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import sqdr
from sqdr.errors import MissingPackageError
from sqdr.experiment.commands import COMMANDS
from sqdr.experiment.option_names import new_parser
from sqdr.memory import is_lack_of_memory
from sqdr.validation import argument_error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments (sequence of str or None): those after the program's name; None takes the process's.

    Returns:
        int: exit code. 2 after one line on stderr if a command is called wrongly or cannot start; 1
            after one line if it must give up, since a file cannot be written or memory is short; 130
            if it is interrupted, and 141 if nobody reads what it prints, as a shell has it. A
            training that is terminated raises SystemExit with 143.
    """
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):  # which Lightning has caught
            return 130
        raise
    except BrokenPipeError:
        _abandon_output()
        return 141
    except (OSError, MemoryError) as error:
        _abandon_output()
        return _fail(error, code=1)
    except RuntimeError as error:
        if not is_lack_of_memory(error):
            raise
        return _fail(error, code=1)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    """Run a command; its exit code."""
    try:
        import jsonargparse
    except ModuleNotFoundError:
        return _fail(MissingPackageError("The command sqdr", "train", "jsonargparse"))
    parser = new_parser("Spiking-quantum image classifiers on any simulator.", prog="sqdr")
    parser.add_argument("--version", action="version", version=f"sqdr {sqdr.__version__}")
    parsers = parser.add_subcommands(required=False)
    for command in COMMANDS.values():
        of_command = new_parser(command.description)
        command.add_options(of_command)
        parsers.add_subcommand(command.name, of_command, help=command.help)
    try:
        options = parser.parse_args(arguments)
        if options.subcommand is None:
            parser.print_help()
            return 0
        command = COMMANDS[options.subcommand]
        defaults = parsers.choices[command.name].get_defaults()
        _check_values(options[command.name], defaults)
        work = command.prepare(parser.instantiate(options)[command.name])
    except (jsonargparse.ArgumentError, ValueError, ImportError, OSError, RecursionError) as error:
        return _fail(error)  # the last from files that are no text, or nested too deeply
    return work()


def _check_values(options: Any, defaults: Any) -> None:
    """ValueError for what jsonargparse lets pass in files: groups that are no mappings, no value."""
    for name, default in defaults.items(branches=True):
        value = options.get(name)
        if isinstance(default, type(defaults)) and not isinstance(value, type(defaults)):
            raise argument_error(name, "be a mapping of options", f"is {value!r}")
        if value is None and default is not None:
            raise argument_error(name, "have a value", "has none")


def _fail(error: Exception, code: int = 2) -> int:
    message = " ".join(str(error).split()) or type(error).__name__
    print(f"sqdr: error: {message}", file=sys.stderr)
    return code


def _abandon_output() -> None:
    """Drop what stdout does not take, on which Python would fail again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
