"""What a command is: its name, its help, its options, and what it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Command:
    """A command of `sqdr`.

    Args:
        name (str): as it is typed.
        help (str): what it does, in a few words, for the list of commands.
        description (str): the same in a sentence, for its own help.
        example (str): a call, for its help and for messages.
        main (sequence of str): names of the options that its help shows; all if empty.
        add_options (callable): gives the command's parser its options.
        prepare (callable): takes the options that were parsed (a jsonargparse.Namespace), checks all
            that can be checked before anything lasting happens, and returns what does the work, prints
            what it has found, and returns the exit code. A ValueError, ImportError or OSError of
            `prepare` is a call that cannot start; one of the work is not.
        rewritten (callable): takes what is typed behind the name, and returns what it stands for.
            Default: the same.
    """

    name: str
    help: str
    description: str
    example: str
    main: Sequence[str]
    add_options: Callable[[Any], None]
    prepare: Callable[[Any], Callable[[], int]]
    rewritten: Callable[[Sequence[str]], list[str]] = list


def filled(kind: Any, namespace: Any, **values: Any) -> Any:
    """An options dataclass of this kind with `values` and, where the namespace has them, its values."""
    names = [field.name for field in fields(kind) if field.name in namespace]
    return kind(**({name: namespace[name] for name in names} | values))
