"""Folders that belong to one configuration, which they keep as config.yaml."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from sqdr.files import UNFINISHED, whole_file
from sqdr.validation import argument_error

_CONFIGURATION = "config.yaml"


def check_folder(
    argument: str,
    folder: Path,
    configuration: Mapping[str, Any],
    own: Collection[str] = (),
    ignored: Collection[str] = (),
) -> None:
    """Accept a folder that is new, empty, or of this configuration.

    Args:
        argument (str): what the caller calls the folder.
        folder (Path): is left alone.
        configuration (mapping): plain data.
        own (collection of str): names of files that a folder may hold before its configuration.
        ignored (collection of str): options that may differ, such as "model.T".

    Raises:
        ValueError: if the folder belongs to another configuration or to something else.
    """
    must = "be a new or empty folder, or one with the same options"
    if not folder.exists():
        return
    if not folder.is_dir():
        raise argument_error(argument, must, f"{folder} is no folder")
    file = folder / _CONFIGURATION
    if not file.exists():
        names = [path.name for path in folder.iterdir()]
        foreign = [name for name in names if name not in own and not name.startswith(UNFINISHED)]
        if foreign:
            raise argument_error(argument, must, f"{folder} holds {foreign[0]}")
        return
    there, here = _flat(yaml.safe_load(file.read_text())), _flat(configuration)
    for name in sorted((there.keys() | here.keys()).difference(ignored)):
        if there.get(name) != here.get(name):
            differ = f"{folder} has {name} {there.get(name)}, not {here.get(name)}"
            raise argument_error(argument, must, differ)


def write_configuration(folder: Path, configuration: Mapping[str, Any]) -> None:
    """Keep the configuration in the folder, unless it is there already."""
    file = folder / _CONFIGURATION
    if not file.exists():
        with whole_file(file) as unfinished:
            unfinished.write_text(yaml.safe_dump(dict(configuration), sort_keys=False))


def _flat(configuration: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"T": 5}} -> {"model.T": 5}."""
    flat: dict[str, Any] = {}
    for name, value in configuration.items():
        inner = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}": value}
    return flat
