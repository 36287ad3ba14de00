"""Stages: library functions from (typed config, input artifacts) to one output artifact. They do not print or exit.

`NAME.py` says everything about a stage in `STAGE` and imports nothing heavy; `_NAME.py` beside it does the work. All
that lists stages (help, completion, recipes, errors, hints) reads these files through `ifrkit/core/stage.py`.
"""
