#!/usr/bin/env bash
# The README's table of the digits: every objective with the same seeds, and so the same labels.
# SEEDS and RUNS (a folder) can be set; finished runs are not repeated.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
runs=${RUNS:-runs/digits_table}
seeds=${SEEDS:-0 1 2}
"$python" -m experiments.sweep --settings='digits_50/*' --seeds="${seeds// /,}" --workdir="$runs"
folders=()
for objective in supervised entropy global multiscale; do
  for seed in $seeds; do
    folders+=("$runs/digits_50/$objective/seed_$seed")
  done
done
"$python" -m experiments.report "${folders[@]}" --out="$runs"
cp "$runs/runs.json" results/digits_50.json
"$python" -m experiments.report --update=README.md
