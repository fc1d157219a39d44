"""The tool around the library: train, study, report, on the command line (extra `train`)."""
