"""Every block of code in the README and in docs/ runs, and the files that they name exist."""

import os
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from itertools import pairwise, product
from pathlib import Path

import pytest
from PIL import Image
from torch.distributed.run import __file__ as torchrun

import sqdr
from sqdr.experiment.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: (page, language, code) of each block of code.
BLOCKS = [
    (page, language, code)
    for page in PAGES
    for language, code in re.findall(
        r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL
    )
]
SHELL = [(page, line) for page, kind, code in BLOCKS if kind == "sh" for line in code.splitlines()]


def blocks_of(language):
    return [
        pytest.param(code, id=f"{page.name}: {code.strip().splitlines()[0]}")
        for page, kind, code in BLOCKS
        if kind == language
    ]


def lines_of(program):
    return [line for _, line in SHELL if line.split()[0] == program]


def test_every_block_is_run_by_a_test_below():
    assert {kind for _, kind, _ in BLOCKS} == {"python", "sh", "toml", "bibtex"}
    assert {line.split()[0] for _, line in SHELL} == {"make", "sqdr", "torchrun"}


def test_the_readme_is_short():
    assert len(PAGES[0].read_text().splitlines()) <= 136


@pytest.mark.parametrize("code", blocks_of("python"))
def test_python_block(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs", "exec"), {"__name__": "docs"})


@pytest.mark.parametrize("command", lines_of("sqdr"))
def test_sqdr_command(command, tmp_path, monkeypatch):
    """Commands that train are shortened to one epoch, seed and pair of classes; others find a model."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command, comments=True)[1:]
    if words[0] in ("train", "sweep-noise", "compare", "search"):
        words += ["--epochs", "1", "--data.classes", "[0, 1]"]
    if words[0] in ("sweep-noise", "compare"):
        words += ["--seeds", "[0]"]
    if words[0] == "search":
        words += ["--n_trials", "2", "--jobs", "2"]
    if words[0] in ("predict", "evaluate", "export"):
        model = sqdr.SQDR_CNN(2, 1, 2, n_wires=2)
        folder = words[1]
        model.save_pretrained(folder, image_size=8, data_name="digits", data_classes=[0, 1])
        Image.new("L", (8, 8)).save("digit.png")
    if "folder" in words:
        for place, number in product((0, 1), range(20)):
            Path("mine", str(place)).mkdir(parents=True, exist_ok=True)
            Image.new("L", (9, 8), 20 * place + number).save(f"mine/{place}/{number}.png")
    if words[0] == "bench":
        words += ["--time_limit", "20"]
    assert main(words) == 0


def test_torchrun_commands(tmp_path):
    """The two machines are this one, with one process each."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    here = {"--nproc-per-node": "1", "--master-addr": "127.0.0.1", "--master-port": str(port)}
    short = ["--epochs", "1", "--data.classes", "[0, 1]", "--trainer.accelerator", "cpu"]
    processes = []
    for command in lines_of("torchrun"):
        words = [sys.executable, torchrun, *shlex.split(command)[1:], *short]
        words = [here.get(option, word) for option, word in pairwise(["", *words])]
        processes.append(
            subprocess.Popen(words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
        )
    assert [process.wait() for process in processes] == [0, 0]
    assert (tmp_path / "runs" / "two" / "test.csv").exists()


@pytest.mark.parametrize("command", lines_of("make"))
def test_make_command(command):
    """Not executed, since `make test` is what runs this; its recipe must exist."""
    words = shlex.split(command, comments=True)
    plan = subprocess.run(
        [*words, "--dry-run", "--always-make"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--editable" in plan.stdout


@pytest.mark.parametrize("code", blocks_of("toml"))
def test_toml_block_registers_a_backend(code):
    assert set(tomllib.loads(code)["project"]["entry-points"]) == {"sqdr.backends"}


def test_bibtex_names_the_paper_of_the_citation_file():
    (entry,) = [code for _, kind, code in BLOCKS if kind == "bibtex"]
    title = re.search(r"title = \{(.*)\}", entry)[1]
    assert title in (ROOT / "CITATION.cff").read_text()


@pytest.mark.parametrize(
    ("page", "target"),
    [
        pytest.param(page, target, id=f"{page.name}: {target}")
        for page in PAGES
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text())
    ],
)
def test_linked_file_exists(page, target):
    assert (page.parent / target).exists()
