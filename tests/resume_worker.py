"""Runs `sqdr` for test_resume.py, in a process that kills itself at a given moment."""

import os
import signal
import sys
from pathlib import Path

import sqdr
from sqdr import files, training
from sqdr.cli import main


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def write_half(file, content):
    """What Path.write_bytes has done when it is killed in the middle."""
    file.open("wb").write(content[: len(content) // 2])
    die()


#: What may be interrupted: where its function is, and what is done instead in the fatal call.
MOMENTS = {
    "replacing a file": (files.os, "replace", die),
    "writing a checkpoint": (Path, "write_bytes", write_half),
    "a training step": (training.Classifier, "training_step", die),
    "a validation step": (training.Classifier, "validation_step", die),
    "a test step": (training.Classifier, "test_step", die),
}


def arm(moment, fatal_call):
    """Let the process die in this call (counted from 1) of the moment's function."""
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
        training.build_noise = lambda _: sqdr.NoiseModel.preset("author-code")
    elif what == "shots":
        build = training.build_model

        def build_with_shots(*arguments):
            model = build(*arguments)
            model.circuit.shots = 20
            return model

        training.build_model = build_with_shots


def work(arguments, moment=None, fatal_call=0, drawn=None):
    draw(drawn)
    if moment:
        arm(moment, fatal_call)
    sys.exit(main(arguments))


def work_until(arguments, trains, may_go_on):
    """Run the command, which says when it trains, and waits there until it may go on."""
    real = training.Classifier.training_step

    def wait_and_step(*step):
        trains.set()
        assert may_go_on.wait(60)
        return real(*step)

    training.Classifier.training_step = wait_and_step
    work(arguments)


if __name__ == "__main__":
    work(sys.argv[4:], sys.argv[1], int(sys.argv[2]), sys.argv[3])
