"""The house: which room may import which, as CONTRIBUTING.md draws it."""

import ast
from pathlib import Path

import pytest

import sqdr

ROOT = Path(sqdr.__file__).parent

#: Rooms of the library, each of which imports those in later lines alone; those of a line may meet.
FLOORS = [
    ["__init__", "__main__"],
    ["experiment"],
    ["testing", "pretrained"],
    ["model"],
    ["registry", "spiking"],
    ["backends"],
    ["circuit"],
    ["export", "gates"],
    ["noise", "memory", "processes", "images"],
    ["ansatz"],
    ["validation", "files", "compilation", "vectors"],
    ["errors", "bounds", "_version"],
]
#: Rooms of the tool, likewise.
EXPERIMENT_FLOORS = [
    ["__init__"],
    ["cli"],
    ["commands"],
    ["studies", "reports", "exporting"],
    ["evaluation"],
    ["training"],
    ["bench", "data", "plots", "scores"],
    ["folders", "presets"],
    ["option_names"],
    ["options", "intervals", "provenance", "tables"],
    ["data_names"],
]
#: Imports where they are called, of what a user asks for by name: the doors between the rooms.
DOORS = {
    ("circuit", "registry"),
    ("model", "pretrained"),
    ("model", "images"),
}


def imports_of(file: Path) -> set[str]:
    """The modules of sqdr that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "sqdr":
            found |= {f"sqdr.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = (f"{node.module}.{alias.name}" for alias in node.names)
            found |= {name if is_module(name) else node.module for name in inner}
    return {name for name in found if name.split(".")[0] == "sqdr" and is_module(name)}


def is_module(name: str) -> bool:
    path = ROOT.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def room(parts: list[str], wing: str) -> str | None:
    """The room of a module in a wing: the library's, or that of `experiment`."""
    if wing == "experiment":
        return parts[2] if parts[1:2] == ["experiment"] and len(parts) > 2 else None
    return parts[1] if len(parts) > 1 else None


def arrows(wing: str) -> list[tuple[str, str, str]]:
    """(file, importing room, imported room) for each import between two rooms."""
    found = []
    for file in sorted(ROOT.rglob("*.py")):
        path = file.relative_to(ROOT.parent)
        here = room([*path.parts[:-1], path.stem], wing)
        for name in sorted(imports_of(file)):
            there = room(name.split("."), wing)
            if here and there and here != there:
                found.append((str(path), here, there))
    return found


@pytest.mark.parametrize(("wing", "floors"), [("sqdr", FLOORS), ("experiment", EXPERIMENT_FLOORS)])
def test_every_room_has_a_floor(wing, floors):
    rooms = {room([*f.relative_to(ROOT.parent).parts[:-1], f.stem], wing) for f in ROOT.rglob("*.py")}
    named = [name for floor in floors for name in floor]
    assert rooms - {None, "__init__"} == set(named) - {"__init__"}
    assert len(named) == len(set(named))


@pytest.mark.parametrize(("wing", "floors"), [("sqdr", FLOORS), ("experiment", EXPERIMENT_FLOORS)])
def test_imports_run_one_way(wing, floors):
    level = {name: number for number, floor in enumerate(floors) for name in floor}
    climbs = [
        arrow for arrow in arrows(wing) if level[arrow[1]] >= level[arrow[2]] and arrow[1:] not in DOORS
    ]
    assert climbs == []


def test_nothing_imports_a_backend():
    """The registry loads backends by name when they are asked for."""
    assert [arrow for arrow in arrows("sqdr") if arrow[2] == "backends"] == []
