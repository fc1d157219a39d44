"""Files that are whole or not there at all."""

import csv
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

#: How the names of files begin that are being written, or were when their writer was killed.
UNFINISHED = "unfinished-"


@contextmanager
def whole_file(file: Path) -> Iterator[Path]:
    """A name to write to, which replaces `file` at the end; after an exception `file` is as it was.

    An OSError names `file`, as that of a full disk does not by itself.

    After a power failure it is the old or the new file as well, since the new one is on the disk before
    it takes the name.
    """
    unfinished = file.with_name(f"{UNFINISHED}{uuid4().hex}-{file.name}")
    try:
        yield unfinished
        with unfinished.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(unfinished, file)
    except OSError as error:
        error.filename = error.filename or str(file)
        raise
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder to write into, which becomes `folder`, new or empty, at the end; or nothing does."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f"{UNFINISHED}{uuid4().hex}-{folder.name}")
    unfinished.mkdir()
    try:
        yield unfinished
        os.replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_rows(file: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV file with one line for each row."""
    with whole_file(file) as unfinished, unfinished.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)
