"""Searches for the options of a training, by Optuna, on all cores and machines that share a folder."""

from __future__ import annotations

import math
from argparse import ArgumentError
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import numpy as np
import optuna
import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

from sqdr.experiment import plots
from sqdr.experiment.data.folder import keep_record, record_of
from sqdr.experiment.option_names import as_configuration, options_of, with_values
from sqdr.experiment.options import RunOptions, SearchOptions
from sqdr.experiment.studies.places import Direction, Place
from sqdr.experiment.studies.shared_trials import (
    Cell,
    SharedTrials,
    claim_study,
    place_of,
    run_in_processes,
)
from sqdr.experiment.training.classifier import Classifier
from sqdr.experiment.training.epochs import EpochRows, best_epoch, has_diverged
from sqdr.experiment.training.preparation import prepare
from sqdr.experiment.training.trainer import device_of, new_trainer, quiet
from sqdr.files import whole_file, write_rows
from sqdr.validation import argument_error, check_distinct, check_integer, check_number

_DIRECTIONS: dict[str, Direction] = {"validation_loss": "minimize", "validation_accuracy": "maximize"}
#: The values of a training that diverges, or whose options do not go together.
_WORST = {"validation_loss": math.inf, "validation_accuracy": 0.0}


@dataclass(frozen=True)
class SearchResult:
    """The best trial of a search, and the files that the search has written.

    Attributes:
        n_trials (int): number of finished trials.
        n_failed (int): how many of them diverged, or had options that do not go together.
        value (float): of the objective.
        parameters (dict): the options found, by their names.
        table (Path): CSV of all trials.
        picture (Path): PNG of their values.
        configuration (Path): YAML file for `sqdr train --config`.
    """

    n_trials: int
    n_failed: int
    value: float
    parameters: Cell
    table: Path
    picture: Path
    configuration: Path


class Search:
    """A search, checked and ready: data loaded, every option of the space tried, folder made.

    Args:
        options (SearchOptions): see there.

    Raises:
        ValueError: if the options do not go together, or the folder belongs to something else.
        FileNotFoundError, ImportError: as `sqdr.experiment.training.run.Run`.
    """

    def __init__(self, options: SearchOptions) -> None:
        distributions = search_space(options.space)
        place = place_of(options)
        if options.objective == "validation_loss" and "label_smoothing" in distributions:
            must = 'be "validation_accuracy" where label_smoothing, a part of the loss, is searched for'
            raise argument_error("objective", must, f"is {options.objective!r}")
        device = device_of(options.training.trainer)
        prepare(options.training)
        for name, distribution in distributions.items():
            for value in _extremes(distribution):
                try:
                    prepare(with_values(options.training, {name: value}))
                except (ArgumentError, ValueError) as error:
                    must = f"hold values for {name} that `sqdr train` takes"
                    but = f"for {value!r}: {str(error).rstrip('.')}"
                    if isinstance(error, ArgumentError):  # of another type, told in Python's words
                        but = f"holds {value!r}"
                    raise argument_error("space", must, but) from error
        claim_study(options, device)
        self.options = options
        self._open_trials = partial(
            SearchTrials,
            place,
            distributions,
            options.objective,
            options.n_trials,
            options.training.seed,
        )

    def run(self) -> SearchResult | None:
        """Run the trials that are missing, and write the table, the picture and the best configuration.

        Returns:
            SearchResult or None: None if other machines have not finished their trials; the one that
                finishes last writes the files.
        """
        options, folder = self.options, self.options.folder
        run_in_processes(self._open_trials, partial(train, options), options.jobs)
        trials = self._open_trials()
        finished = trials.finished()
        if len(finished) < options.n_trials:
            return None
        maximize = _DIRECTIONS[options.objective] == "maximize"
        best = (max if maximize else min)(finished, key=lambda trial: trial.values[0])
        training = as_configuration(with_values(options.training, best.params))
        picture = plots.search_history(
            [trial.values[0] for trial in finished], options.objective, maximize
        )
        found = SearchResult(
            len(finished),
            sum(trial.values[0] == _WORST[options.objective] for trial in finished),
            best.values[0],
            best.params,
            folder / "trials.csv",
            folder / "history.png",
            folder / "best.yaml",
        )
        write_rows(found.table, ["number", "state", *best.params, options.objective], trials.rows())
        with whole_file(found.picture) as unfinished:
            picture.savefig(unfinished)
        with whole_file(found.configuration) as unfinished:
            unfinished.write_text(yaml.safe_dump(training, sort_keys=False))
        return found


class SearchTrials(SharedTrials):
    """The trials of a search, whose parameters Optuna's tree-structured Parzen estimator draws.

    The n-th draw depends on the seed, on n, and on the trials before it, so that workers do not draw
    the same, and one process draws the same each time. What a killed worker was trying is tried again.

    Args:
        place (Place): where the search is, or will be, kept.
        distributions (mapping): of each parameter.
        objective (str): name of the value, as in `SearchOptions`.
        n_trials (int): how many are to be finished.
        seed (int): of the draws.
    """

    def __init__(
        self,
        place: Place,
        distributions: Mapping[str, BaseDistribution],
        objective: str,
        n_trials: int,
        seed: int,
    ) -> None:
        super().__init__(place, "search", [_DIRECTIONS[objective]], n_trials)
        self._distributions = dict(distributions)
        self._objective = objective
        self._seed = seed

    def finished(self) -> list[FrozenTrial]:
        """The finished trials, in the order of their numbers."""
        return self._trials(TrialState.COMPLETE)

    def rows(self) -> list[dict[str, Any]]:
        """Number, state ("fail" if the worker was killed), parameters and value of each trial."""
        return [
            {"number": trial.number, "state": trial.state.name.lower(), **trial.params}
            | ({self._objective: trial.values[0]} if trial.values else {})
            for trial in self._trials(*TrialState)
        ]

    def _next_trial(self) -> optuna.Trial | None:
        if len(self._started()) >= self.n_cells:
            return None
        trial = self._place.ask(self._study)
        n_before = sum(other.number < trial.number for other in self._started())
        if n_before >= self.n_cells:  # by a worker that did not wait for its turn
            self._give_up(trial)
            return None
        seed = np.random.SeedSequence([self._seed, n_before]).generate_state(1)[0]
        self._study.sampler = TPESampler(seed=int(seed))
        for name, distribution in self._distributions.items():
            _suggest(trial, name, distribution)
        return trial

    def _started(self) -> list[FrozenTrial]:
        return self._trials(TrialState.RUNNING, TrialState.COMPLETE)


def _suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> None:
    """Draw a parameter, or take the one that the trial was queued with."""
    if isinstance(distribution, CategoricalDistribution):
        trial.suggest_categorical(name, distribution.choices)
        return
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    is_float = isinstance(distribution, FloatDistribution)
    suggest: Any = trial.suggest_float if is_float else trial.suggest_int
    suggest(name, distribution.low, distribution.high, log=distribution.log)


def search_space(space: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """Optuna's distributions, in the order of the options' names.

    Args:
        space (mapping): as in `SearchOptions`.

    Raises:
        ValueError: if it is empty, or an option cannot be searched, or not in this way.
    """
    if not isinstance(space, Mapping) or not space:
        must = "be a mapping from options to lists or ranges"
        raise argument_error("space", must, f"is {space!r}")
    known = options_of(RunOptions)
    for name in space:
        if name not in known:
            must = "hold options of `sqdr train`, such as learning_rate or model.width"
            raise argument_error("space", must, f"holds {name}")
        if known[name].kind != "recipe":
            must = f"not hold {name}, which must be the same in all trials"
            raise argument_error("space", must, "does")
    return {name: _distribution(name, space[name], known[name].type) for name in sorted(space)}


def _distribution(name: str, values: Any, option_type: Any) -> BaseDistribution:
    """The distribution of one option: a list of values, or a range."""
    place = f"space.{name}"
    types = {option_type, *get_args(option_type)}
    if isinstance(values, list | tuple):
        for value in values:
            if not isinstance(value, str | int | float) and not (value is None and NoneType in types):
                raise argument_error(place, "hold single values", f"holds {value!r}")
        check_distinct(place, values)
        return CategoricalDistribution(values)
    if not (isinstance(values, Mapping) and {"low", "high"} <= values.keys() <= {"low", "high", "log"}):
        must = "be a list of values or a range {low: ..., high: ..., log: true or false}"
        raise argument_error(place, must, f"is {values!r}")
    low, high, log = values["low"], values["high"], values.get("log", False)
    if not isinstance(log, bool):
        raise argument_error(f"{place}.log", "be true or false", f"is {log!r}")
    if float not in types and int not in types:
        raise argument_error(place, "be a list of values, as the option is no number", f"is {values!r}")
    for end in (low, high):
        if float in types:
            check_number(place, end)
        else:
            check_integer(place, end, 0)
    if not low < high or (log and low <= 0):
        must = "be a range from a lower to a higher number, both positive if `log` is true"
        raise argument_error(place, must, f"is {values!r}")
    return (FloatDistribution if float in types else IntDistribution)(low, high, log=log)


def _extremes(distribution: BaseDistribution) -> Sequence[Any]:
    """The values of a choice, or the ends of a range."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low, distribution.high


def train(options: SearchOptions, parameters: Cell) -> list[float]:
    """The objective of one trial, from the training and validation images alone.

    A training that diverges, and one whose parameters do not go together, has the worst value there is.
    """
    try:
        training = with_values(options.training, parameters)
        data, model, _ = prepare(training)
    except ValueError:
        keep_record(options.folder, record_of(options.training.data))  # whose faults are no parameters'
        return [_WORST[options.objective]]
    keep_record(options.folder, data.record)
    epochs = EpochRows(training)
    classifier = Classifier(model, len(data.class_names), training)
    with quiet():
        trainer = new_trainer(
            training.trainer,
            devices=1,
            num_nodes=1,
            max_epochs=training.epochs,
            callbacks=[epochs],
            enable_progress_bar=False,
        )
        trainer.fit(classifier, data)
    rows = epochs.rows
    return [(_WORST if has_diverged(rows) else rows[best_epoch(rows)])[options.objective]]
