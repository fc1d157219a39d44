"""Options by their dotted names, such as "model.n_wires": of dataclasses, of plain data, of parsers."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from typing import Any, NamedTuple, get_type_hints

import yaml

from sqdr.experiment.options import (
    ComparisonOptions,
    Kind,
    NoiseSweepOptions,
    RunOptions,
    SearchOptions,
)
from sqdr.validation import argument_error


class Option(NamedTuple):
    """The type of an option and what it belongs to."""

    type: Any
    kind: Kind


@cache
def options_of(options: type, group: str = "") -> dict[str, Option]:
    """The options of a dataclass and of those within it, by their dotted names."""
    named: dict[str, Option] = {}
    types = get_type_hints(options)
    for field in fields(options):
        name, type_ = f"{group}{field.name}", types[field.name]
        if isinstance(type_, type) and is_dataclass(type_):
            named |= options_of(type_, f"{name}.")
        else:
            named[name] = Option(type_, field.metadata.get("of", "recipe"))
    return named


def names_of(options: type, *kinds: Kind) -> frozenset[str]:
    """The dotted names of the options of a dataclass that belong to one of these."""
    return frozenset(name for name, option in options_of(options).items() if option.kind in kinds)


#: Options of a training that a study of many trainings sets itself.
SET_BY_STUDIES = names_of(RunOptions, "processes", "folder")
#: Options that may differ where a run or a study goes on.
NOT_OF_RESULT = names_of(RunOptions, "machine", "processes", "folder")


def flat(plain: Mapping[str, Any], group: str = "") -> dict[str, Any]:
    """{"model": {"T": 5}} -> {"model.T": 5}; options that are mappings stay so."""
    named: dict[str, Any] = {}
    for name, value in plain.items():
        inner = isinstance(value, Mapping) and value and name not in _MAPPINGS
        named |= flat(value, f"{group}{name}.") if inner else {f"{group}{name}": value}
    return named


#: Options whose mappings are channels of noise, which act in their order.
CHANNELS = ("after_rotation", "after_entangler")
#: All options that are mappings.
_MAPPINGS = (*CHANNELS, "preset_options", "optimizer_options", "space", "variants", "readout_error")


def nested(named: Mapping[str, Any]) -> dict[str, Any]:
    """{"model.T": 5} -> {"model": {"T": 5}}

    Raises:
        KeyError: if a name cannot be that of an option.
    """
    import jsonargparse

    namespace: Any = jsonargparse.Namespace
    plain: dict[str, Any] = namespace(dict(named)).as_dict()
    return plain


def without(plain: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Plain options but for those of these dotted names.

    Raises:
        KeyError: if a name in `plain` cannot be that of an option.
    """
    return nested({name: value for name, value in flat(plain).items() if name not in names})


def with_values(training: RunOptions, values: Mapping[str, Any]) -> RunOptions:
    """The training with other values of the options that are named.

    Raises:
        argparse.ArgumentError, ValueError: if an option cannot have its value.
    """
    return parse_run_options(json.dumps(nested(flat(as_plain(training)) | dict(values))))


def new_parser(description: str = "", **options: Any) -> Any:
    """A jsonargparse.ArgumentParser, with its options, that raises errors instead of exiting.

    What it parses cannot have modules imported: a file that names a class would have its module
    imported before the class is refused.

    Raises:
        ModuleNotFoundError: if jsonargparse is missing.
    """
    import jsonargparse

    jsonargparse.set_parsing_settings(
        import_path_denylist=["*"], import_path_allowlist=["sqdr.experiment.options"]
    )
    jsonargparse.set_loader(_MODE, load_yaml, exceptions=(yaml.YAMLError,))
    return jsonargparse.ArgumentParser(
        description=description, exit_on_error=False, parser_mode=_MODE, **options
    )


#: Name of the loader that refuses two keys of one name.
_MODE = "distinct-yaml"


def load_yaml(text: str) -> Any:
    """YAML as jsonargparse reads it, which would keep the last of two keys of one name.

    Raises:
        ArgumentError: if a mapping has two keys of one name.
        yaml.YAMLError: if it is no YAML.
    """
    import jsonargparse

    nodes, seen = [yaml.compose(text, yaml.SafeLoader)], set()
    while nodes:
        node = nodes.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            for key in keys:
                if keys.count(key) > 1:
                    raise argument_error(key, "be given once in a mapping", "is given twice")
            nodes += [value for _, value in node.value]
        else:
            nodes += node.value
    return jsonargparse.get_loader("yaml")(text)


def parse_run_options(text: str) -> RunOptions:
    """Options of a training run, of YAML.

    Raises:
        argparse.ArgumentError: if it is no YAML, or an option is unknown or cannot have its value.
        ValueError: if an option is out of its domain, or it names a class.
    """
    parser = new_parser()
    parser.add_class_arguments(RunOptions)
    return RunOptions(**vars(parser.instantiate(parser.parse_string(text))))


def as_plain(options: Any) -> dict[str, Any]:
    """Options (a dataclass) as what YAML files are made of: mappings, lists, strings and numbers."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(options), default=str))
    return plain


def as_configuration(options: RunOptions) -> dict[str, Any]:
    """The plain options of a run that another run can be started with, in a folder of its own."""
    return as_plain(options) | {"run": None}


def what_is_shared(options: NoiseSweepOptions | ComparisonOptions | SearchOptions) -> dict[str, Any]:
    """The options as plain data for `--config`, without what may differ from machine to machine."""
    kinds: tuple[Kind, ...] = ("machine", "processes", "folder")
    own = names_of(RunOptions, *kinds) | names_of(type(options), *kinds)
    varied = set() if isinstance(options, SearchOptions) else {"seed"}
    of_study = as_plain(options)
    return without(of_study.pop("training") | of_study, own | varied)
