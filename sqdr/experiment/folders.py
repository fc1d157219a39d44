"""Folders that belong to one configuration, which they keep as config.yaml."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from sqdr.experiment.option_names import CHANNELS, flat
from sqdr.files import UNFINISHED, whole_file
from sqdr.validation import argument_error

_CONFIGURATION = "config.yaml"


def check_folder(
    argument: str,
    folder: Path,
    configuration: Mapping[str, Any],
    own: Collection[str] = (),
    ignored: Collection[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Accept a folder that is new, empty, or of this configuration.

    Args:
        argument (str): what the caller calls the folder.
        folder (Path): is left alone.
        configuration (mapping): plain data.
        own (collection of str): names of files that a folder may hold before its configuration.
        ignored (collection of str): options that may differ, such as "model.T".
        defaults (mapping or None): of options that a configuration in the folder may lack.

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
    try:
        differ = difference(yaml.safe_load(file.read_text()), configuration, ignored, defaults)
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, RecursionError) as error:
        raise argument_error(argument, must, f"{file} holds no options") from error
    if differ:
        raise argument_error(argument, must, f"{folder} has {differ}")


def difference(
    there: Mapping[str, Any],
    here: Mapping[str, Any],
    ignored: Collection[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> str:
    """The first option in which two configurations differ, "model.T 5, not 6", or nothing.

    Args:
        there, here (mapping): plain data.
        ignored (collection of str): options that may differ, such as "model.T".
        defaults (mapping or None): of options that `there` may lack.
    """
    old, new = flat(defaults or {}) | flat(there), flat(here)
    for name in sorted((old.keys() | new.keys()).difference(ignored)):
        if _comparable(name, old.get(name)) != _comparable(name, new.get(name)):
            return f"{name} {old.get(name)}, not {new.get(name)}"
    return ""


def read_configuration(folder: Path) -> dict[str, Any]:
    """The configuration of a folder that has been accepted."""
    plain: dict[str, Any] = yaml.safe_load((folder / _CONFIGURATION).read_text())
    return plain


def write_configuration(folder: Path, configuration: Mapping[str, Any]) -> None:
    """Keep the configuration in the folder, in place of an earlier one."""
    with whole_file(folder / _CONFIGURATION) as unfinished:
        unfinished.write_text(yaml.safe_dump(dict(configuration), sort_keys=False))


def has_configuration(folder: Path) -> bool:
    return (folder / _CONFIGURATION).exists()


def _comparable(name: str, value: Any) -> Any:
    """What is equal where options of this name say the same: channels in their order, None if empty."""
    if not name.endswith(CHANNELS) or not isinstance(value, Mapping | list):
        return value or None if isinstance(value, Mapping) else value
    if isinstance(value, Mapping):
        return list(value.items()) or None
    return [list(each.items()) if isinstance(each, Mapping) else each for each in value] or None
