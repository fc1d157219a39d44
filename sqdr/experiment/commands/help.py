"""Help: all commands, one command on one screen, or all of its options."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqdr.experiment.commands.command import Command
from sqdr.experiment.commands.parsing import Parser
from sqdr.experiment.commands.values import shown

_WIDTH = 79
_INDENT = 28


def overview(commands: Iterable[Command]) -> str:
    """What `sqdr --help` prints."""
    lines = ["usage: sqdr COMMAND ...", "", "Spiking-quantum image classifiers on any simulator.", ""]
    lines += [f"  {command.name:<15}{command.help}" for command in commands]
    lines += ["", "Help of a command: sqdr COMMAND --help; the version: sqdr --version"]
    return "\n".join(lines)


def help_of(parser: Parser, everything: bool = False) -> str:
    """What `sqdr COMMAND --help` prints, or with `everything` --help-all."""
    command = parser.command
    actions = {action.dest: action for action in parser.actions()}
    positionals = [action for action in actions.values() if not action.option_strings]
    words = [f"{action.metavar or action.dest.upper()}" for action in positionals]
    lines = [f"usage: {' '.join(['sqdr', command.name, *words, '[options]'])}", ""]
    lines += [*textwrap.wrap(command.description, _WIDTH), f"Example: {command.example}", ""]
    main = {name: actions[name] for name in command.main} or actions
    if everything:
        for title, group in _groups(parser, actions):
            lines += [*textwrap.wrap(f"{title}:", _WIDTH), *_options(parser, group), ""]
        lines.append("  --print_config            print all options as YAML, for --config, and exit")
        return "\n".join(lines)
    lines += _options(parser, [*positionals, *(a for a in main.values() if a not in positionals)], True)
    if len(main) < len(actions):
        lines += ["", f"All other options: sqdr {command.name} --help-all"]
    return "\n".join(lines)


def _groups(parser: Parser, actions: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    for group in parser.parser._action_groups:
        members = [actions[a.dest] for a in group._group_actions if a.dest in actions]
        if members:
            yield (group.title or "").rstrip(".").capitalize(), members


def _options(parser: Parser, actions: Iterable[Any], in_short: bool = False) -> Iterator[str]:
    """An option's name, the place of its value, what it is (`in_short` a first clause), its default."""
    for action in actions:
        kind = parser.kind(action)
        name = (
            action.option_strings[0] if action.option_strings else action.metavar or action.dest.upper()
        )
        is_flag = kind is None or (kind.must == "be true or false" and action.default is False)
        takes = "" if is_flag or not action.option_strings or kind is None else f" {kind.place}"
        text = re.sub(r"\s+", " ", action.help or "").rstrip(".")
        if in_short:
            text = re.split(r"; |\. |, which ", text)[0]
        if (default := _default(action.default)) and not is_flag:
            text = f"{text} [{default}]"
        head = f"  {name}{takes}"
        lines = textwrap.wrap(text, _WIDTH - _INDENT, break_on_hyphens=False) or [""]
        if len(head) < _INDENT:
            head, lines = f"{head:<{_INDENT}}{lines[0]}", lines[1:]
        yield head
        yield from (" " * _INDENT + line for line in lines)


def _default(value: Any) -> str:
    """A default as it may be written; nothing for none, and for what is long or has names."""
    if value is None or isinstance(value, bool) or (not value and not isinstance(value, int | float)):
        return ""
    text = shown(value)
    return text if len(text) < 40 and "{" not in text and "Namespace" not in text else ""
