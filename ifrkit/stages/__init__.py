"""Stages: library functions from (typed config, input artifacts) to one output artifact. They do not print or exit."""
