"""Selects the learning rate as the paper does (Section 3.1), by training.

The greatest of 0.02, 0.002 and 0.0002 with which training does not diverge:

    python -m experiments.select_learning_rate --config=experiments/svhn_500.py --workdir=DIR

trains one after the other, the greatest first, each in a folder of its own under DIR (default:
`runs/` and the configuration's name and `_learning_rate`), and stops at the first that does not
diverge. It diverges where the loss is not finite or ends above its beginning; of an objective whose
weights change with the progress, the cross-entropy of labeled images is compared. The rate is
printed and written to DIR/learning_rate.json; the run is that of the configuration with this rate.
`--config.num_epochs` shortens the trial. The test set has no part in it.
"""

import os
import shlex
import sys

from ml_collections import ConfigDict

from experiments.main import StopRequest
from multiscale_inversion import files, objectives
from multiscale_inversion.cli import program as cli
from multiscale_inversion.runs import finished
from multiscale_inversion.runs.config import chosen_options
from multiscale_inversion.runs.loop import Diverged, Interrupted, train_and_evaluate

RATES = (0.02, 0.002, 0.0002)


def main(argv: list[str]) -> int:
  """Runs the program; returns its exit status."""
  cli.refuse_arguments(argv)
  cli.refuse_flags('distributed', 'distributed_timeout')
  workdir = cli.workdir() or cli.default_workdir(sys.argv) + '_learning_rate'
  command = shlex.join(['python', '-m', 'experiments.select_learning_rate', *sys.argv[1:]])
  try:
    rate, reasons = select(cli.CONFIG.value, workdir, StopRequest(), command)
  except Interrupted as interruption:
    print(f'{interruption}; the same command goes on from there', file=sys.stderr)
    return cli.INTERRUPTED
  except Diverged as divergence:
    print(f'error: {divergence}', file=sys.stderr)
    return 1
  result = {'learning_rate': rate, 'diverged': reasons, 'command': command}
  files.write_json(os.path.join(workdir, 'learning_rate.json'), result)
  for tried, reason in reasons.items():
    print(f'learning rate {tried} diverged: {reason}')
  print(f'learning rate {rate}: the greatest that did not diverge; see {workdir}')
  return 0


def select(
    config: ConfigDict, workdir: str, stop: StopRequest, command: str = ''
) -> tuple[float, dict[str, str]]:
  """Trains with each rate until one does not diverge.

  Args:
    config: the configuration; its learning rate is not used.
    workdir: the folder of the runs' folders.
    stop: asked whether to stop, see `train_and_evaluate`.
    command: recorded with the runs.

  Returns:
    The rate, and for each greater one why it counts as diverged.

  Raises:
    Diverged: if training diverges with all of them.
    Interrupted: as `train_and_evaluate`.
  """
  compared = _compared(config)
  reasons: dict[str, str] = {}
  for rate in RATES:
    trial = config.copy_and_resolve_references()
    with trial.unlocked():
      trial.learning_rate = rate
    folder = trial_folder(workdir, rate)
    try:
      train_and_evaluate(trial, folder, stop.requested, command)
      key = f'train/{compared}'
      reason = divergence([r[key] for r in finished.read_metrics(folder, keys=[key])], compared)
    except Diverged as error:
      reason = str(error)
    if reason is None:
      return rate, reasons
    reasons[str(rate)] = reason
  raise Diverged(f'learning_rate: training diverged with each of {RATES}: {reasons}')


def trial_folder(workdir: str, rate: float) -> str:
  """The folder of the run with a rate."""
  return os.path.join(workdir, f'learning_rate_{rate}')


def _compared(config: ConfigDict) -> str:
  """The loss whose curve tells: it does not rise because weights do."""
  objective = objectives.create(config.objective.name, **chosen_options(config.objective))
  return 'cross_entropy' if objective.scheduled else 'loss'


def divergence(losses: list[float | None], name: str = 'loss') -> str | None:
  """Says why a curve of training losses counts as diverged; None if it does not.

  It does where a loss is not finite, or the last is greater than the first.

  Args:
    losses: in the order of training; None where not finite.
    name: what they are called.
  """
  name = name.replace('_', '-')
  if not losses or any(loss is None for loss in losses):
    return f'the {name} is not finite'
  if losses[-1] > losses[0]:
    return f'the {name} ended at {losses[-1]:.4g}, above the {losses[0]:.4g} that it began with'
  return None


if __name__ == '__main__':
  cli.run(main)
