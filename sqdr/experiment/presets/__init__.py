"""Presets: files of options for `sqdr train --preset`, to print, copy and change.

Each was chosen on validation images; `make results` and `make accuracy` train them.
"""

from __future__ import annotations

from pathlib import Path

from sqdr.experiment.option_names import parse_run_options
from sqdr.experiment.options import RunOptions
from sqdr.validation import argument_error

_FOLDER = Path(__file__).parent
#: Their names.
PRESETS = tuple(sorted(file.stem for file in _FOLDER.glob("*.yaml")))


def preset_file(name: str) -> Path:
    """The YAML file of a preset.

    Raises:
        ValueError: if there is none of this name.
    """
    if name not in PRESETS:
        raise argument_error("preset", f"be one of {', '.join(PRESETS)}", f"is {name!r}")
    return _FOLDER / f"{name}.yaml"


def preset(name: str) -> RunOptions:
    """The options of a preset, for `dataclasses.replace` and `sqdr.experiment.train`.

    Args:
        name (str): one of `PRESETS`.

    Raises:
        ValueError: if there is none of this name.
        ModuleNotFoundError: if jsonargparse is missing.
    """
    return parse_run_options(preset_file(name).read_text(encoding="utf-8"))
