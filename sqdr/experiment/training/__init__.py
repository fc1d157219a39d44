"""One training: classifier, trainer, run folder, twins."""
