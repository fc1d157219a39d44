"""The command line of one command: read as people write it, and explained where it cannot be read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sqdr.errors import MissingPackageError
from sqdr.experiment.commands.command import Command
from sqdr.experiment.commands.values import Kind, kind_of, shown
from sqdr.experiment.option_names import new_parser
from sqdr.validation import argument_error


class Parser:
    """The parser of a command.

    Args:
        command (Command): whose options it takes.

    Raises:
        MissingPackageError: if jsonargparse is missing.
    """

    def __init__(self, command: Command) -> None:
        self.command = command
        try:
            self.parser = new_parser(prog=f"sqdr {command.name}", allow_abbrev=False)
        except ModuleNotFoundError as error:
            raise MissingPackageError("The command sqdr", "train", "jsonargparse") from error
        command.add_options(self.parser)

    def parse(self, arguments: Sequence[str]) -> Any:
        """The options, as a jsonargparse.Namespace of dataclasses.

        Raises:
            ValueError: if something is unknown, missing, or out of its domain; in one sentence, which
                shows how it may be written.
            OSError: if a file of options cannot be read.
        """
        import jsonargparse

        try:
            options = self.parser.parse_args(self._as_yaml(arguments))
            self._check_values(options)
            return self._instantiated(options)
        except jsonargparse.ArgumentError as error:
            raise ValueError(self._explained(str(error))) from error
        except RecursionError as error:
            raise ValueError(self._no_options("it holds itself, or is nested too deeply")) from error
        except UnicodeDecodeError as error:
            raise ValueError(self._no_options(f"it is no text in UTF-8 ({error.reason})")) from error

    def _instantiated(self, options: Any) -> Any:
        try:
            return self.parser.instantiate(options)
        except ValueError as error:
            # Of the kinds that a value may have, what is wrong with the one that was meant.
            if found := re.search(r"Union subtypes(?s:.*)- (Argument `[\w.]+` must .*)", str(error)):
                raise ValueError(found[1]) from error
            raise

    def actions(self) -> list[Any]:
        """What argparse knows of each option, but for those of the parser itself."""
        own = ("help", "print_config")
        kept = [a for a in self.parser._actions if a.dest.rpartition(".")[2] not in own]
        return [action for action in kept if type(action).__name__ != "_ActionConfigLoad"]

    def kind(self, action: Any) -> Kind | None:
        """The kind of an option's values; None for a flag without any."""
        if action.dest == "config":
            return kind_of(action.dest, Path)
        if action.nargs == 0:
            return None
        type_ = getattr(action, "_typehint", None) or action.type or str
        kind = kind_of(action.dest, type_)
        if isinstance(action.default, str | int | float) and not isinstance(action.default, bool):
            return kind._replace(example=shown(action.default))
        return kind

    def _as_yaml(self, arguments: Sequence[str]) -> list[str]:
        """The arguments with YAML for values, and values for flags; options first."""
        by_name = {name: action for action in self.parser._actions for name in action.option_strings}
        takes_words = any(not action.option_strings for action in self.parser._actions)
        self._written: dict[str, str] = {}
        changed: list[str] = []
        others: list[str] = []
        waiting = list(arguments)
        while waiting:
            word = waiting.pop(0)
            name, has_value, value = word.partition("=")
            if word == "--":  # behind it nothing is an option
                others = ["--", *others, *waiting]
                break
            if not word.startswith("--"):
                others.append(word)
                continue
            action = by_name.get(name)
            if action is None and self._parent(name, by_name) is None:
                raise ValueError(self._unknown(name.removeprefix("--"), "--"))
            kind = None if action is None or action.dest == "print_config" else self.kind(action)
            if kind is None or name.endswith("+"):
                changed.append(word)
                continue
            is_next = bool(waiting) and not waiting[0].startswith("--")
            if kind.must == "be true or false":
                if not has_value:
                    is_next = is_next and (not takes_words or waiting[0].lower() in _TRUE_OR_FALSE)
                    value = waiting.pop(0) if is_next else "true"
            elif not has_value:
                if not is_next:
                    raise argument_error(name.removeprefix("--"), _with_example(kind), "has no value")
                value = waiting.pop(0)
            self._written[name.removeprefix("--")] = value
            changed.append(f"{name}={kind.as_yaml(value)}")
        return changed + others

    def _parent(self, name: str, by_name: dict[str, Any]) -> Any:
        """The option of names and values of which `name` names one, as in --model.options.shots."""
        group = by_name.get(name.rpartition(".")[0])
        is_mapping = group is not None and "NAME:VALUE" in getattr(self.kind(group), "place", "")
        return group if is_mapping else None

    def _check_values(self, options: Any) -> None:
        """ValueError for what jsonargparse lets pass in files: no group where one must be, no value."""
        defaults = self.parser.get_defaults()
        for name, default in defaults.items(branches=True):
            value = options.get(name)
            if isinstance(default, type(defaults)) and not isinstance(value, type(defaults)):
                raise argument_error(name, "be a mapping of options", f"is {value!r}")
            if value is None and default is not None:
                raise argument_error(name, "have a value", "has none")

    def _explained(self, message: str) -> str:
        """A message of jsonargparse's as a sentence that shows how the option may be written."""
        if found := re.match(
            r"(?:Option|Group) '([\w.-]+)' (?:is not|does not)(.*'([\w.-]+)')?", message
        ):
            group, _, option = found.groups()
            return self._unknown(f"{group}.{option}" if option else group, "")
        if found := re.match(r"(?s)(?:Unexpected config|Problems parsing config): *(.*)", message):
            return self._no_options(found[1])
        if found := re.match(r"unrecognized arguments: (.*)", message):
            hint = "lists are written with commas, as 3,8" if found[1].strip()[0].isdigit() else ""
            return f"`{self.parser.prog}` does not take {found[1]}{': ' * bool(hint)}{hint}"
        if found := re.match(r"the following arguments are required: (.*)", message):
            return (
                f"`{self.parser.prog}` needs {found[1].upper()}; for instance: {self.command.example}"
            )
        if found := re.match(r'Parser key "([\w.]+)"', message):
            for action in self.actions():
                kind = self.kind(action) if action.dest == found[1] else None
                value = re.search(r"Given value: (.*)|Got value: (.*)", message)
                if kind is not None and value is not None:
                    written = (
                        self._written.get(action.dest) or (value[1] or value[2] or "empty").strip()
                    )
                    return str(argument_error(action.dest, _with_example(kind), f"is {written}"))
        return re.sub(r'Parser key "([\w.]+)":', r"Argument `\1` cannot be read:", message)

    def _no_options(self, why: str) -> str:
        """What to say of a file that holds no options."""
        but = f"{self._written.get('config', 'it')} is none: {why}"
        return str(argument_error("config", "be a YAML file of options and their values", but))

    def _unknown(self, name: str, dashes: str) -> str:
        """What to say of an option that there is not, with the nearest one that there is."""
        known = [action.dest for action in self.actions() if action.option_strings]
        nearest = get_close_matches(name, known, 1) or [
            option
            for option in known
            if get_close_matches(name.rpartition(".")[2], [option.rpartition(".")[2]], 1)
        ]
        hint = (
            f"did you mean {dashes}{nearest[0]}?" if nearest else f"see {self.parser.prog} --help-all"
        )
        return f"`{self.parser.prog}` has no option {dashes}{name}; {hint}"


_TRUE_OR_FALSE = ("true", "false", "yes", "no")


def _with_example(kind: Kind) -> str:
    """What a value must be, with an example where this does not name all of them."""
    return kind.must if "|" in kind.place else f"{kind.must}, for instance {kind.example}"
