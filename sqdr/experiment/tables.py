"""Tables of words and then of numbers: Markdown to paste, or lines on a terminal."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Sequence

#: Beyond which a word is broken where there is no room for it.
_LONGEST_WORD = 20
#: Where the heading above numbers begins another line.
_LONGEST_NUMBER = 10


def markdown(words: Sequence[str], numbers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table.

    Args:
        words (sequence of str): headings of the first columns.
        numbers (sequence of str): headings of the others, which stand to the right.
        rows (iterable of sequence of str): a cell for each column.

    Returns:
        str: lines without a last newline.
    """
    rule = ["---"] * len(words) + ["---:"] * len(numbers)
    lines = [[*words, *numbers], rule, *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def print_table(words: Sequence[str], numbers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print such a table: as Markdown where stdout is no terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    on_terminal = sys.stdout.isatty()
    table = Table(box=box.SIMPLE if on_terminal else box.MARKDOWN)
    rows = list(rows)
    for place, column in enumerate(words):
        longest = max((len(word) for row in rows for word in row[place].split()), default=0)
        table.add_column(column, overflow="fold", min_width=min(longest, _LONGEST_WORD))
    for column in numbers:
        heading = textwrap.fill(column, _LONGEST_NUMBER) if on_terminal else column
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*row)
    console = Console(width=None if on_terminal else 1000)
    wide = console.options.update(max_width=1000)
    if console.measure(table, options=wide).minimum > console.width:
        for of_column in table.columns:
            of_column.min_width = None
    console.print(table)
