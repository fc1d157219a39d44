"""The commands of `sqdr`, in one table: a command is a row, and more of them are more rows."""

from sqdr.experiment.commands.backends import BACKENDS, BENCH, CHECK_BACKEND
from sqdr.experiment.commands.command import Command
from sqdr.experiment.commands.presets import PRESETS_COMMAND
from sqdr.experiment.commands.runs import RUNS
from sqdr.experiment.commands.studies import COMPARE, SEARCH, SWEEP_NOISE
from sqdr.experiment.commands.train import TRAIN
from sqdr.experiment.commands.trained import EVALUATE, EXPORT, PREDICT, REPORT

#: By name, in the order in which `sqdr --help` lists them.
COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        TRAIN,
        PRESETS_COMMAND,
        RUNS,
        REPORT,
        SWEEP_NOISE,
        COMPARE,
        SEARCH,
        PREDICT,
        EVALUATE,
        EXPORT,
        BENCH,
        BACKENDS,
        CHECK_BACKEND,
    )
}
