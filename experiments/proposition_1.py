"""Test Proposition 1: `python -m experiments.proposition_1 --out=results/proposition_1.json`.

"Given the local reconstruction loss lambda, the impact of corrupted or noisy inputs is inversely
proportional to the number of layers" (Section 2.2). Trains the digits with corrupted training
images by the multiscale and by the global loss, by the paper's protocol, with three depths
(settings `digits_50_proposition_1/*`, 12 epochs), and measures the part of the gradient that comes
from the reconstruction of the input (layer 0), before and after training.

The runs are those of a sweep, with folders under `--workdir=DIR` (default: runs/proposition_1);
the same command resumes. `--seeds=0-3` (default: 0-1), `--settings=PATTERNS` for a part of them,
and `--set=num_epochs=N` and other changes work as in `experiments.sweep`. The result file, a JSON
list of the runs' summaries with their `proposition_1`, is written after each run, and the figure
beside it (or to `--figure=FILE.png`) at the end; `--redraw=FILE.json` draws that of a result file,
no more. `--update=docs/results.md` also renews the tables there. `--quick` shows in a few minutes
that everything works: a tiny network, few settings, two epochs, seed 0.
"""

import os
import shlex
import sys
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments import report, sweep
from experiments.reporting import proposition_1_report
from experiments.reporting.results import Proposition, Stage, read_propositions
from experiments.studies import settings
from experiments.studies.gradient_norms import GradientNorms, gradient_norms
from multiscale_inversion import files, objectives, training
from multiscale_inversion.checkpoints import Checkpoints
from multiscale_inversion.cli import (
  compilation_cache,
  train,  # noqa: F401 (its flags)
)
from multiscale_inversion.cli import program as cli
from multiscale_inversion.cli.stopping import StopRequest
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import build as setup_lib
from multiscale_inversion.runs.finished import FinishedRun
from multiscale_inversion.runs.folder import RunFolder
from multiscale_inversion.runs.loop import Interrupted

# --out and --update are defined in report, --workdir in main, the others in sweep.
_FIGURE = flags.DEFINE_string('figure', None, 'The figure; default: beside --out.')
_REDRAW = flags.DEFINE_string('redraw', None, 'A result file whose figure is drawn, no more.')
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
  """Run the program; return its exit status."""
  cli.refuse_arguments(argv)
  cli.refuse_flags('distributed', 'distributed_timeout', 'config')
  options = flags.FLAGS
  if _REDRAW.value:
    proposition_1_report.draw(read_propositions(_REDRAW.value), _beside(_REDRAW.value))
    return 0
  if not options.out:
    raise UserError('--out: missing; allowed: a file, as results/proposition_1.json')
  figure = _beside(options.out)
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

  compilation_cache.enable()
  try:
    failed = sweep.run_jobs(jobs, StopRequest(), command, None, then)
  except Interrupted as interruption:
    print(f'{interruption}; the same command goes on from there', file=sys.stderr)
    return cli.INTERRUPTED
  finally:
    write(jobs, options.out)
  for job, reason in failed:
    print(f'error: {job.folder}: {reason}', file=sys.stderr)
  proposition_1_report.draw(read_propositions(options.out), figure)
  print(proposition_1_report.render(options.out), end='')
  if options.update:
    report.update(options.update)
  return 1 if failed else 0


def _beside(out: str) -> str:
  """Return the path of the figure: the given one, or beside the result file."""
  return _FIGURE.value or os.path.splitext(out)[0] + '.png'


def make_jobs(
    patterns: Sequence[str],
    seeds: str | None,
    changes: dict[str, object],
    workdir: str | None,
    quick: bool,
) -> list[sweep.Job]:
  """Return the runs of the study, all those of one seed before those of the next.

  Args:
    patterns: names of settings; all settings of the study if empty.
    seeds: as `--seeds`; the study's seeds if None.
    changes: changes of every configuration.
    workdir: the folder of the runs' folders; the study's own if None.
    quick: whether to make a tiny study of whatever the other arguments leave open.
  """
  patterns = patterns or (_QUICK_SETTINGS if quick else _SETTINGS)
  seeds = seeds or ('0' if quick else _SEEDS)
  changes = (_QUICK_CHANGES if quick else {}) | changes
  workdir = workdir or os.path.join('runs', 'proposition_1_quick' if quick else 'proposition_1')
  names = settings.matching(patterns)
  jobs = sweep.make_jobs(names, sweep.parse_seeds(seeds), changes, workdir, vectorized=False)
  return sorted(jobs, key=lambda job: job.config.seed)


def record(folder: str) -> bool:
  """Measure a finished run, once, and write that to its folder; return False if it was there."""
  path = os.path.join(folder, _MEASURED)
  if os.path.lexists(path):
    return False
  files.write_json(path, measure(folder).to_json())
  return True


def write(jobs: Sequence[sweep.Job], out: str) -> None:
  """Write the finished and measured runs to the result file; leave it if there are none."""
  results = []
  for job in jobs:
    folder, path = RunFolder(job.folder), os.path.join(job.folder, _MEASURED)
    if folder.is_finished() and os.path.lexists(path):
      measured = Proposition.from_json(files.read_json(path), path)
      public = folder.summary().public().to_json()
      results.append({**public, 'proposition_1': measured.to_json()})
  if results:
    files.make_folder(os.path.dirname(out) or '.', '--out')
    files.write_json(out, results)


def measure(folder: str) -> Proposition:
  """Measure the gradients of a run's network before and after training.

  They are those of the training pass, with dropout and corrupted images, on the first batches of
  the run, whichever objective trained it.

  Args:
    folder: the folder of a finished run of one seed.
  """
  run = RunFolder(folder).summary()
  setup, state = restore(folder, run)
  options = run.configuration.objective
  predictions = objectives.create(
      'entropy', reduction=options.reduction, unlabeled=options.unlabeled
  )
  norms_of = jax.jit(lambda state, step: batch_norms(setup, predictions, state, step))
  initial, trained = (_measure_stage(norms_of, one) for one in (setup.initial_state(), state))
  return Proposition(len(initial.shares), initial, trained)


def restore(folder: str, run: FinishedRun) -> tuple[setup_lib.Setup, training.TrainState]:
  """Return the experiment of a run, on one device, and the state at its end.

  Args:
    folder: the run's folder.
    run: the run.

  Raises:
    UserError: if there is no sound checkpoint, or it is of another version.
  """
  config = run.configuration.copy_and_resolve_references()
  config.num_devices, config.data.placement = 1, 'device'
  setup = setup_lib.build(config, shares=RunFolder(folder).shares())
  checkpoints = RunFolder(folder).checkpoints
  found = Checkpoints(checkpoints).restore(setup.initial_loop_state())
  if found is None:
    raise UserError(f'{checkpoints}: no checkpoint; allowed: the folder of a finished run')
  return setup, found.tree.state


def batch_norms(
    setup: setup_lib.Setup,
    predictions: objectives.Objective,
    state: training.TrainState,
    step: jax.Array,
) -> GradientNorms:
  """Return the norms of the gradients on the batch of one step.

  Args:
    setup: the experiment, on one device.
    predictions: the loss without reconstruction.
    state: the state whose parameters are used.
    step: the step whose batch and dropout are used.
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


def _measure_stage(norms_of: Callable[..., GradientNorms], state: training.TrainState) -> Stage:
  """Return the means over batches for one state of the network."""
  batches = [jax.device_get(norms_of(state, step)) for step in range(_NUM_BATCHES)]
  norms = jax.tree.map(lambda *values: np.mean(values, axis=0), *batches)
  depth = len(norms.layers)
  return Stage(
      norms=tuple(norms.layers.tolist()),
      shares=tuple(np.mean([batch.shares() for batch in batches], axis=0).tolist()),
      predictions=float(norms.predictions),
      multiscale=float(norms.multiscale),
      global_=float(norms.global_),
      input_in_multiscale=float(np.mean([b.layers[0] / b.multiscale for b in batches])),
      input_in_global=float(np.mean([depth * b.layers[0] / b.global_ for b in batches])),
  )


if __name__ == '__main__':
  cli.run(main, needs_config=False)
