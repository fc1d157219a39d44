"""`sqdr presets`, and the option `--preset` of what trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqdr.experiment.commands.command import Command
from sqdr.experiment.presets import PRESETS, preset_file
from sqdr.validation import argument_error


def add_preset_option(parser: Any) -> None:
    """Let a command take `--preset NAME`, which `with_preset` reads."""
    help_ = f"options to begin with: {', '.join(PRESETS)}; `sqdr presets NAME` prints them"
    parser.add_argument("--preset", type=str, help=help_)


def with_preset(arguments: Sequence[str]) -> list[str]:
    """Arguments with "--preset NAME" as its file of options, which come before all others.

    Raises:
        ValueError: if there is no such preset.
    """
    others = list(arguments)
    for index, argument in enumerate(others):
        option, equals, name = argument.partition("=")
        if option != "--preset":
            continue
        if not equals:
            name = next(iter(others[index + 1 : index + 2]), "")
        rest = others[:index] + others[index + (1 if equals else 2) :]
        return ["--config", str(preset_file(name)), *rest]
    return others


def check_no_preset_in_file(namespace: Any) -> None:
    """ValueError if a file of options names a preset."""
    if namespace.preset is not None:
        must = "be given on the command line, once"
        raise argument_error("preset", must, f"{namespace.preset!r} is not")


def _add_name(parser: Any) -> None:
    parser.add_argument("preset", metavar="NAME", nargs="?", type=str, help="of the preset to print")


def _prepare(namespace: Any) -> Callable[[], int]:
    if namespace.preset is None:
        return partial(_tell, "\n".join(PRESETS))
    return partial(_tell, preset_file(namespace.preset).read_text(encoding="utf-8").rstrip())


def _tell(text: str) -> int:
    print(text)
    return 0


PRESETS_COMMAND = Command(
    "presets",
    "list the presets, or print one",
    "List the presets of `sqdr train --preset`, or print the file of one, to copy and change.",
    "sqdr presets mnist > mine.yaml",
    (),
    _add_name,
    _prepare,
)
