"""Tables of words and then of numbers: Markdown to paste, or lines on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence


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
    for column in words:
        table.add_column(column, overflow="fold")
    for column in numbers:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row)
    Console(width=None if on_terminal else 1000).print(table)
