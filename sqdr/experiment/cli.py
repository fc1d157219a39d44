"""The command `sqdr`: train, search, compare and use classifiers, list and time the backends."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from io import TextIOWrapper

import sqdr
from sqdr import compilation
from sqdr.errors import JobError
from sqdr.experiment.commands import COMMANDS
from sqdr.experiment.commands.help import help_of, overview
from sqdr.experiment.commands.parsing import Parser
from sqdr.memory import is_lack_of_memory


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments (sequence of str or None): those after the program's name; None takes the process's.

    Returns:
        int: exit code. 2 after one line on stderr if a command is called wrongly or cannot start; 1
            after one line if it must give up, since a file cannot be written, memory is short or a job
            of a device fails; 130 if it is interrupted, and 141 if nobody reads what it prints, as a
            shell has it. A training that is terminated raises SystemExit with 143.
    """
    if arguments is None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # a console that cannot print a character shows ?
                stream.reconfigure(errors="replace")
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
    except (OSError, MemoryError, JobError) as error:
        _abandon_output()
        return _fail(error, code=1)
    except RuntimeError as error:
        if not is_lack_of_memory(error):
            raise
        return _fail(error, code=1)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    """Run a command; its exit code."""
    name, *others = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    if name in ("-h", "--help"):
        print(overview(COMMANDS.values()))
        return 0
    if name == "--version":
        print(f"sqdr {sqdr.__version__}")
        return 0
    try:
        if name not in COMMANDS:
            nearest = get_close_matches(name, COMMANDS, 1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(COMMANDS)}"
            raise ValueError(f"`sqdr` has no command {name}; {hint}")
        parser = Parser(COMMANDS[name])
        if not {"-h", "--help", "--help-all"}.isdisjoint(others):
            print(help_of(parser, everything="--help-all" in others))
            return 0
        command = COMMANDS[name]
        work = command.prepare(parser.parse(command.rewritten(others)))
    except (ValueError, ImportError, OSError, RecursionError) as error:
        return _fail(error)  # the last from files that are no text, or nested too deeply
    with _compilation_told():
        return work()


@contextmanager
def _compilation_told() -> Iterator[None]:
    """Say on stderr, if that is a terminal, when kernels compile."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("sqdr: %(message)s"))
    logger, level = compilation.logger, compilation.logger.level
    if sys.stderr.isatty():
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


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
