"""Proposition 1, tested: `python -m experiments.proposition_1 --out=results/proposition_1.json`.

"Given the local reconstruction loss lambda, the impact of corrupted or noisy inputs is inversely
proportional to the number of layers" (Section 2.2). Trains the digits with corrupted training
images by the multiscale and by the global loss, by the paper's protocol, with three depths
(settings `digits_50_proposition_1/*`, 12 epochs), and measures the part of the gradient that comes
from the reconstruction of the input (layer 0), before and after training.

Each run has its folder under `--workdir=DIR` (default: runs/proposition_1), as `experiments.sweep`
makes it; the same command resumes. `--seeds=0-3` (default: 0-1), `--settings=PATTERNS` for a part
of them, `--set=num_epochs=N` and other changes as there. After each run the result file, a JSON
list of the runs' summaries with their `proposition_1`, is written, and at the end a figure beside
it (or `--figure=FILE.png`); with `--update=docs/results.md` the tables there, too. `--quick` shows
in a few minutes that all works: a tiny network, few settings, two epochs, seed 0.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments import report, sweep
from experiments.main import StopRequest
from experiments.reporting import proposition_1_report, restoring
from experiments.studies import settings
from experiments.studies.gradient_norms import GradientNorms, gradient_norms
from multiscale_inversion import files, objectives, training
from multiscale_inversion.cli import program as cli
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import build as setup_lib
from multiscale_inversion.runs import finished, records
from multiscale_inversion.runs.loop import Interrupted

# --out and --update are report's; --workdir main's; --settings, --seeds and --set sweep's.
_FIGURE = flags.DEFINE_string('figure', None, 'The figure; default: beside --out.')
_QUICK = flags.DEFINE_bool('quick', False, 'A tiny network, few settings, two epochs.')

_SETTINGS = ['digits_50_proposition_1/*']
_SEEDS = '0-1'
_QUICK_SETTINGS = [
    f'digits_50_proposition_1/*/{blocks}_blocks/{corruption}'
    for blocks in (1, 2)
    for corruption in ('none', 'gaussian_1')
]
_QUICK_CHANGES = {'network.width': 4, 'batch_size': 200, 'num_epochs': 2}
_NUM_BATCHES = 4
_MEASURED = 'proposition_1.json'  # in a run's folder


def main(argv: list[str]) -> int:
  """Runs the program; returns its exit status."""
  cli.refuse_arguments(argv)
  cli.refuse_flags('distributed', 'distributed_timeout', 'config')
  options = flags.FLAGS
  if not options.out:
    raise UserError('--out: missing; allowed: a file, as results/proposition_1.json')
  figure = _FIGURE.value or os.path.splitext(options.out)[0] + '.png'
  for path in (options.out, figure):
    files.make_folder(os.path.dirname(path) or '.', '--out')
    files.check_target(path)
  jobs = make_jobs(
      options.settings,
      options.seeds if options['seeds'].present else None,
      sweep.parse_changes(options.set),
      cli.workdir(),
      _QUICK.value,
  )
  command = shlex.join(['python', '-m', 'experiments.proposition_1', *sys.argv[1:]])
  failed = []

  def then(job):
    if record(job.folder):
      write(jobs, options.out)

  try:
    failed = sweep.run_jobs(jobs, StopRequest(), command, None, then)
  except Interrupted as interruption:
    print(f'{interruption}; the same command goes on from there', file=sys.stderr)
    return cli.INTERRUPTED
  finally:
    write(jobs, options.out)
  for job, reason in failed:
    print(f'error: {job.folder}: {reason}', file=sys.stderr)
  proposition_1_report.draw(finished.read_propositions(options.out), figure)
  print(proposition_1_report.render(options.out), end='')
  if options.update:
    report.update(options.update)
  return 1 if failed else 0


def make_jobs(
    patterns: Sequence[str],
    seeds: str | None,
    changes: dict[str, object],
    workdir: str | None,
    quick: bool,
) -> list[sweep.Job]:
  """The runs of the study, all of one seed before the next one's.

  Args:
    patterns: names of settings; all of the proposition's if empty.
    seeds: as `--seeds`; the study's if None.
    changes: of every configuration.
    workdir: the folder of the runs' folders; one of this study's if None.
    quick: a tiny study, as far as the other arguments leave it open.
  """
  patterns = patterns or (_QUICK_SETTINGS if quick else _SETTINGS)
  seeds = seeds or ('0' if quick else _SEEDS)
  changes = (_QUICK_CHANGES if quick else {}) | changes
  workdir = workdir or os.path.join('runs', 'proposition_1_quick' if quick else 'proposition_1')
  names = settings.matching(patterns)
  jobs = sweep.make_jobs(names, sweep.parse_seeds(seeds), changes, workdir, vectorized=False)
  return sorted(jobs, key=lambda job: job.config.seed)


def record(folder: str) -> bool:
  """Measures a finished run, once, and keeps that in its folder; False if it was there."""
  path = os.path.join(folder, _MEASURED)
  if os.path.lexists(path):
    return False
  files.write_json(path, measure(folder))
  return True


def write(jobs: Sequence[sweep.Job], out: str) -> None:
  """Writes the result file: what is finished and measured of the jobs; leaves it if nothing is."""
  results = []
  for job in jobs:
    path = os.path.join(job.folder, _MEASURED)
    if finished.is_finished(job.folder) and os.path.lexists(path):
      summary = finished.read_summary(job.folder)
      measured = finished.check_proposition(files.read_json(path), path)
      results.append({**records.public(summary), 'proposition_1': measured})
  if results:
    files.make_folder(os.path.dirname(out) or '.', '--out')
    files.write_json(out, results)


def measure(folder: str) -> dict[str, Any]:
  """Measures the gradients of a run's network before and after training.

  Those of the training pass (with dropout, and the corruption) on the first batches of the run,
  whatever the objective that it was trained by.

  Args:
    folder: of a finished run of one seed.

  Returns:
    `num_layers`, L, and for `initial` and `trained` parameters what `_as_record` makes.
  """
  run = finished.read_summary(folder)
  setup, state = restoring.trained(folder, run)
  options = run['config']['objective']
  predictions = objectives.create(
      'entropy', reduction=options['reduction'], unlabeled=options['unlabeled']
  )
  norms_of = jax.jit(lambda state, step: batch_norms(setup, predictions, state, step))
  measured = {
      'initial': _as_record(norms_of, setup.initial_state()),
      'trained': _as_record(norms_of, state),
  }
  return {'num_layers': len(measured['initial']['shares']), **measured}


def batch_norms(
    setup: setup_lib.Setup,
    predictions: objectives.Objective,
    state: training.TrainState,
    step: jax.Array,
) -> GradientNorms:
  """The norms of the gradients on the batch of one step.

  Args:
    setup: the experiment, on one device.
    predictions: the loss without reconstruction.
    state: whose parameters are taken.
    step: whose batch and dropout are taken.
  """
  training_step, keys = setup.training_step, setup.keys
  data = jax.tree.map(jnp.asarray, setup.train_data)
  batch = training.gather_batch(data, *setup.sampler.batch(keys.sampling, step))
  key = training_step.dropout_key(keys.dropout, step)
  images = training_step.augmented(batch.images, key)
  with jax.default_matmul_precision(training_step.matmul_precision):
    return gradient_norms(
        lambda params: training_step.inversion(params, state.batch_stats, images, key),
        lambda inversion: predictions(inversion, batch.labels, batch.mask),
        state.params,
    )


def _as_record(norms_of, state) -> dict[str, Any]:
  """Means over batches.

  `norms`, of the layers' terms, 0 to L - 1; `shares` of them; `predictions`, `multiscale` and
  `global`, as `GradientNorms` has them; and what layer 0's term is beside the whole loss's
  gradient: `input_in_multiscale` and, of the global loss at the same parameters,
  `input_in_global`. (These may be above 1: terms may cancel.)
  """
  batches = [jax.device_get(norms_of(state, step)) for step in range(_NUM_BATCHES)]
  norms = jax.tree.map(lambda *values: np.mean(values, axis=0), *batches)
  depth = len(norms.layers)
  return {
      'norms': norms.layers.tolist(),
      'shares': np.mean([batch.shares() for batch in batches], axis=0).tolist(),
      'predictions': float(norms.predictions),
      'multiscale': float(norms.multiscale),
      'global': float(norms.global_),
      'input_in_multiscale': float(np.mean([b.layers[0] / b.multiscale for b in batches])),
      'input_in_global': float(np.mean([depth * b.layers[0] / b.global_ for b in batches])),
  }


if __name__ == '__main__':
  cli.run(main, needs_config=False)
