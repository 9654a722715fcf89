#!/usr/bin/env bash
# The README's table of the digits: every objective with the same seeds, and so the same labels.
# SETTING=digits_50_paper takes the paper's protocol alone, digits_20 another number of labels.
# SEEDS (as 0-3) and RUNS (a folder) can be set; finished runs are not repeated.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
setting=${SETTING:-digits_50}
runs=${RUNS:-runs/digits_table}
seeds=${SEEDS:-0-7}
"$python" -m experiments.sweep --settings="$setting/*" --seeds="$seeds" --workdir="$runs" --vectorized
"$python" -m experiments.report "$runs/$setting"/{supervised,entropy,global,multiscale}/"seeds_$seeds" \
  --out="$runs/$setting"
cp "$runs/$setting/runs.json" "results/$setting.json"
"$python" -m experiments.report --update=README.md
"$python" -m experiments.report --update=docs/results.md
