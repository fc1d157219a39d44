"""What made a folder: versions, threads, device and kernels, on which results depend beside options."""

import platform
import sys
from pathlib import Path

import torch
import yaml

from sqdr import compilation
from sqdr._version import __version__
from sqdr.files import whole_file

_FILE = "made_with.yaml"


def made_with(device: torch.device, n_threads: int) -> dict[str, str | int]:
    """Versions, threads of a process, the name of the device, and what compiles the kernels."""
    here: dict[str, str | int] = {
        "sqdr": __version__,
        "torch": str(torch.__version__),
        "Python": platform.python_version(),
        "threads": n_threads,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
    if device.type == "cpu":
        here["kernels"] = compilation.compiler()
    return here


def keep_provenance(folder: Path, device: torch.device, n_threads: int) -> None:
    """Keep in the folder what makes it, or note on stderr how that differs from what began it.

    Args:
        folder (Path): of a run or a study.
        device (torch.device): that computes.
        n_threads (int): of each process.
    """
    here = made_with(device, n_threads)
    file, text = folder / _FILE, yaml.safe_dump(here, sort_keys=False)
    if not file.exists():
        with whole_file(file) as unfinished:
            unfinished.write_text(text)
    began, goes_on = (made.replace(": ", " ").splitlines() for made in (file.read_text(), text))
    if others := [line for line in began if line not in goes_on]:
        known = {line.split()[0] for line in began}  # older versions kept less
        instead = [line for line in goes_on if line not in began and line.split()[0] in known]
        but = f"{', '.join(others)}, not {', '.join(instead)}"
        print(f"sqdr: note: {folder} was begun with {but}", file=sys.stderr)
