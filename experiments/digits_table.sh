#!/usr/bin/env bash
# The README's tables of the digits: every objective with the same seeds, and so the same labels.
# SETTING=digits_50_paper takes the paper's protocol alone. SEEDS and RUNS (a folder) can be set;
# finished runs are not repeated.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
setting=${SETTING:-digits_50}
runs=${RUNS:-runs/digits_table}
seeds=${SEEDS:-0 1 2}
"$python" -m experiments.sweep --settings="$setting/*" --seeds="${seeds// /,}" --workdir="$runs"
folders=()
for objective in supervised entropy global multiscale; do
  for seed in $seeds; do
    folders+=("$runs/$setting/$objective/seed_$seed")
  done
done
"$python" -m experiments.report "${folders[@]}" --out="$runs/$setting"
cp "$runs/$setting/runs.json" "results/$setting.json"
"$python" -m experiments.report --update=README.md
