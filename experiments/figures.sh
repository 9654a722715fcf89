#!/usr/bin/env bash
# All figures of the pages, in docs/figures: those of results/, and those of six
# runs (minutes each on two cores), which are not repeated once they have finished.
# DATA is the folder of TFDS's MNIST, RUNS that of the runs.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
runs=${RUNS:-runs/figures}
data=${DATA:+--set=data.data_dir=$DATA}
out=docs/figures
digits=digits_50/multiscale,digits_50/global,digits_50_ablation/learned_gradient,digits_50_ablation/learned_speed
"$python" -m experiments.sweep --settings="$digits" --seeds=0 --workdir="$runs"
"$python" -m experiments.sweep --settings='mnist_50_few_labels/multiscale,mnist_50_few_labels/global' \
  --seeds=200 --workdir="$runs" $data
drawn=$(mktemp -d)
trap 'rm -rf "$drawn"' EXIT
"$python" -m experiments.report "$runs"/*/*/seed_* --out="$drawn"
"$python" -m experiments.report results/digits_{20,50,100,200}.json --out="$drawn"
cp "$drawn"/*.png "$out"
"$python" -m experiments.proposition_1 --redraw=results/proposition_1.json --figure="$out/proposition_1.png"
"$python" -m experiments.diagram --out="$out"
"$python" -m experiments.layers --network=digits_50 --dataset=digits --out="$out/digits_50_layers.png"
"$python" -m experiments.layers ${DATA:+--data_dir=$DATA} --out="$out/mnist_50_layers.png"
