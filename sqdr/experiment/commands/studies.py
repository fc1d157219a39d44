"""`sqdr sweep-noise`, `sqdr compare` and `sqdr search`: studies of many trainings."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Collection, Sequence, Set
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from sqdr.experiment.commands.command import Command, filled
from sqdr.experiment.commands.presets import (
    add_preset_option,
    check_no_preset_in_file,
    with_preset,
)
from sqdr.experiment.option_names import SET_BY_STUDIES, load_yaml, without
from sqdr.experiment.options import (
    ComparisonOptions,
    NoiseSweepOptions,
    RunOptions,
    SearchOptions,
    TrainerOptions,
)
from sqdr.experiment.tables import print_table

if TYPE_CHECKING:
    from sqdr.experiment.studies.comparison import Comparison, ComparisonFiles
    from sqdr.experiment.studies.noise_sweep import NoiseSweep, SweepFiles
    from sqdr.experiment.studies.search import Search, SearchResult


def _add_options(kind: type, varied: Set[str], parser: Any) -> None:
    """Options of a study and of its trainings, but for those that the study varies."""
    parser.add_argument("--config", action="config", help="YAML file of options, that of a run too")
    add_preset_option(parser)
    of_trainer = {name.removeprefix("trainer.") for name in SET_BY_STUDIES}
    parser.add_class_arguments(RunOptions, skip=SET_BY_STUDIES | varied | {"trainer"})
    parser.add_class_arguments(TrainerOptions, "trainer", skip=of_trainer)
    _ignore_in_files(SET_BY_STUDIES | varied, parser)
    parser.add_class_arguments(kind, skip={"training"})


def _ignore_in_files(names: Collection[str], parser: Any) -> None:
    """Let the parser take files that hold these options, as that of a run does."""
    import yaml

    parse_string = parser.parse_string

    def parse_others(content: str, **how: Any) -> Any:
        with suppress(yaml.YAMLError, KeyError):  # which the parser reports
            options = load_yaml(content)
            if isinstance(options, dict) and (others := without(options, names)) != options:
                content = yaml.safe_dump(others)
        return parse_string(content, **how)

    parser.parse_string = parse_others


def _prepare_sweep(namespace: Any) -> Callable[[], int]:
    from sqdr.experiment.studies.noise_sweep import NoiseSweep

    return _finish(NoiseSweep(_of_study(NoiseSweepOptions, namespace)), _show_sweep)


def _show_sweep(sweep: NoiseSweep, files: SweepFiles) -> None:
    n_trainings, n_tests = len(sweep.cells), len(sweep.cells) * len(sweep.tests)
    print(f"{n_trainings} trainings, {n_tests} tests: {files.table}, {files.picture}")
    _tell_diverged(files.diverged)


def _prepare_comparison(namespace: Any) -> Callable[[], int]:
    from sqdr.experiment.studies.comparison import Comparison

    return _finish(Comparison(_of_study(ComparisonOptions, namespace)), _show_comparison)


def _show_comparison(comparison: Comparison, files: ComparisonFiles) -> None:
    if sys.stdout.isatty():  # the wide columns are in the files
        from sqdr.experiment.studies.comparison import as_texts

        numbers = "accuracy (%)", "95 % interval", "difference", "95 % interval"
        cells = map(as_texts, files.rows)
        print_table(("variant",), numbers, ((name, *those) for name, _, *those, _ in cells))
    else:
        print(files.markdown.read_text(encoding="utf-8"))
    written = files.markdown, files.picture, files.table, files.runs
    print(f"{len(comparison.cells)} trainings: {', '.join(map(str, written))}")
    _tell_diverged(files.diverged)


def _prepare_search(namespace: Any) -> Callable[[], int]:
    from sqdr.experiment.studies.search import Search

    return _finish(Search(_of_study(SearchOptions, namespace)), _show_search)


def _show_search(search: Search, found: SearchResult) -> None:
    print(f"{found.n_trials} trials: {found.table}, {found.picture}")
    if found.n_failed:
        print(f"{found.n_failed} of them diverged, or had options that do not go together")
    print(f"Best {search.options.objective}: {found.value:.4f}")
    for name, value in found.parameters.items():
        print(f"  {name}: {value}")
    print(f"Train it: {shlex.join(['sqdr', 'train', '--config', str(found.configuration)])}")


def _tell_diverged(trainings: Sequence[str]) -> None:
    for training in trainings:
        print(f"Diverged, and in no mean: {training}")


def _of_study(kind: Any, namespace: Any) -> Any:
    """The options of a study, those of its trainings inside."""
    check_no_preset_in_file(namespace)
    return filled(kind, namespace, training=filled(RunOptions, namespace))


def _finish(study: Any, show: Callable[[Any, Any], None]) -> Callable[[], int]:
    """What runs a study and shows what it has found."""

    def finish() -> int:
        found = study.run()
        if found is None:
            print(
                "Other machines are still at work: the one that finishes last writes the results, "
                "or this command when it is run again."
            )
        else:
            show(study, found)
        return 0

    return finish


SWEEP_NOISE = Command(
    "sweep-noise",
    "measure accuracy against noise",
    "Train without and with noise, and test under noise of many strengths.",
    "sqdr sweep-noise --channels BitFlip,PhaseFlip --seeds 0-2 --epochs 20",
    ("channels", "training_strengths", "test_strengths", "seeds", "jobs", "folder", "preset", "config"),
    partial(_add_options, NoiseSweepOptions, {"seed"}),
    _prepare_sweep,
    with_preset,
)
COMPARE = Command(
    "compare",
    "compare a classifier with its twins and others",
    "Train the classifier and variants of it, such as twins without the quantum part, over seeds.",
    "sqdr compare --seeds 0-4 --variants {scaled:{scaling:true}}",
    ("variants", "seeds", "jobs", "folder", "preset", "config"),
    partial(_add_options, ComparisonOptions, {"seed"}),
    _prepare_comparison,
    with_preset,
)
SEARCH = Command(
    "search",
    "search for options of training",
    "Search for options of training on the validation images; no test image is seen.",
    "sqdr search --space {learning_rate:[0.01,0.05]} --n_trials 20",
    ("space", "objective", "n_trials", "seed", "jobs", "folder", "preset", "config"),
    partial(_add_options, SearchOptions, set()),
    _prepare_search,
    with_preset,
)
