"""Runs `sqdr` for test_resume.py, in a process that something happens to at a given moment."""

import os
import resource
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import sqdr
from sqdr import files
from sqdr.experiment.cli import main
from sqdr.experiment.training import preparation
from sqdr.experiment.training.classifier import Classifier


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def write_half(file, content):
    """What Path.write_bytes has done when it is killed in the middle."""
    file.open("wb").write(content[: len(content) // 2])
    die()


def replace_and_fill(*names):
    """Replace a file, after which the disk takes no more."""
    os.rename(*names)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def terminate_after(*arguments):
    os.kill(os.getpid(), signal.SIGTERM)
    return real_training_step(*arguments)


def interrupt(*_):
    raise KeyboardInterrupt


real_training_step = Classifier.training_step

#: What may be interrupted: where its function is, and what is done instead in the fatal call.
MOMENTS = {
    "replacing a file": (files.os, "replace", die),
    "writing a checkpoint": (Path, "write_bytes", write_half),
    "moving the model": (files.os, "rename", die),
    "a training step": (Classifier, "training_step", die),
    "a validation step": (Classifier, "validation_step", die),
    "a test step": (Classifier, "test_step", die),
    "the last file that fits": (files.os, "replace", replace_and_fill),
    "termination": (Classifier, "training_step", terminate_after),
    "interrupt": (Classifier, "training_step", interrupt),
}


def arm(moment, fatal_call):
    """Let it happen in this call (counted from 1) of the moment's function."""
    owner, name, fatal = MOMENTS[moment]
    real, n_calls = getattr(owner, name), 0

    def counted(*arguments, **options):
        nonlocal n_calls
        n_calls += 1
        return (fatal if n_calls == fatal_call else real)(*arguments, **options)

    setattr(owner, name, counted)


def draw(what):
    """Let the circuit draw random numbers in training and test."""
    if what == "noise":
        preparation.build_noise = lambda _: sqdr.NoiseModel.preset("author-code")
    elif what == "shots":
        build = preparation.build_model

        def build_with_shots(*arguments):
            model = build(*arguments)
            model.circuit.shots = 20
            return model

        preparation.build_model = build_with_shots


def work(arguments, moment=None, fatal_call=0, drawn=None, errors=None, stdout=None):
    """Run the command; what it prints on stderr goes through the connection `errors`."""
    draw(drawn)
    if moment:
        arm(moment, fatal_call)
    # stdout may be a file too, which a full disk does not take.
    with redirect_stdout(stdout or StringIO()), redirect_stderr(StringIO()) as stderr:
        try:
            code = main(arguments)
        finally:
            if errors is not None:
                errors.send(stderr.getvalue())
    sys.exit(code)


def work_with_output(descriptor_of, errors):
    """Print the help to what `descriptor_of` opens; what is printed on stderr goes through `errors`."""
    os.dup2(descriptor_of(), 1)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    work([], errors=errors, stdout=sys.stdout)


def full_device():
    return os.open("/dev/full", os.O_WRONLY)


def pipe_that_nobody_reads():
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def work_until(arguments, trains, may_go_on):
    """Run the command, which says when it trains, and waits there until it may go on."""
    real = Classifier.training_step

    def wait_and_step(*step):
        trains.set()
        assert may_go_on.wait(60)
        return real(*step)

    Classifier.training_step = wait_and_step
    work(arguments)


if __name__ == "__main__":
    work(sys.argv[4:], sys.argv[1], int(sys.argv[2]), sys.argv[3])
