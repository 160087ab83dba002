"""The learner's face: the `lab` command, the supervisor of the embedded setting, figures and load runs."""
