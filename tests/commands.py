"""Small trainings for the tests of the command line, and what they read and expect."""

import csv
import multiprocessing

from sqdr.experiment.cli import main
from sqdr.experiment.options import DataOptions, ModelOptions, RunOptions

#: Options of a training on three classes: a small model, four epochs.
SMALL = [
    *("--data.classes", "[0, 1, 2]", "--data.image_size", "8"),
    *("--epochs", "4", "--learning_rate", "0.1"),
    *("--model.T", "2", "--model.width", "1", "--model.n_wires", "2"),
]
#: The same.
TRAINING = RunOptions(
    DataOptions(classes=[0, 1, 2], image_size=8),
    ModelOptions(T=2, width=1, n_wires=2),
    epochs=4,
    learning_rate=0.1,
)

#: Processes that start quickly.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["sqdr.experiment.cli", "sqdr.experiment.training.run"])


def read_rows(file):
    """The rows of a CSV file, as text."""
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def assert_refused(arguments, message, capfd):
    """The command ends with code 2 after one line of error with the message, which is returned."""
    assert main(arguments) == 2
    output = capfd.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 1
    assert output.err.startswith("sqdr: error: ")
    assert message in output.err
    return output.err
