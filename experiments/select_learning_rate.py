"""Select the learning rate as the paper does (Section 3.1), by training.

The selected rate is the greatest of 0.02, 0.002 and 0.0002 with which training does not diverge:

    python -m experiments.select_learning_rate --config=experiments/svhn_500.py --workdir=DIR

Trains with one rate after the other, the greatest first, and stops at the first that does not
diverge. Each trial has a folder under DIR (default: `runs/` and the configuration's name and
`_learning_rate`). Training diverges if the loss is not finite or ends above its beginning; if the
weights of the objective change with the progress, the cross-entropy of labeled images is compared.
The rate is printed and written to DIR/learning_rate.json; its trial is the run of the configuration
with this rate. `--config.num_epochs` shortens the trials. The test set is not used.
"""

import dataclasses
import os
import shlex
import sys
from collections.abc import Mapping

from ml_collections import ConfigDict

from multiscale_inversion import files, objectives
from multiscale_inversion.cli import (
  compilation_cache,
  train,  # noqa: F401 (its flags)
)
from multiscale_inversion.cli import program as cli
from multiscale_inversion.cli.stopping import StopRequest
from multiscale_inversion.runs import kinds
from multiscale_inversion.runs.config import chosen_options
from multiscale_inversion.runs.folder import RunFolder
from multiscale_inversion.runs.loop import Diverged, Interrupted, train_and_evaluate

RATES = (0.02, 0.002, 0.0002)
_IN_FILE = {
    'learning_rate': kinds.POSITIVE,
    'diverged': kinds.OBJECT,
    'seed': kinds.whole(0),
    'command': kinds.TEXT,
}


@dataclasses.dataclass(frozen=True)
class Selection:
  """A selected learning rate, as `learning_rate.json` holds it.

  Attributes:
    learning_rate: the rate.
    diverged: for each greater rate, why it counts as diverged.
    seed: the seed of the trials.
    command: the command that started them.
  """

  learning_rate: float
  diverged: Mapping[str, str]
  seed: int
  command: str

  @classmethod
  def read(cls, path: str) -> 'Selection':
    """Read the file.

    Raises:
      UserError: if it holds something else.
    """
    content = files.read_json(path)
    kinds.check(content, kinds.OBJECT, path)
    kinds.check_keys(content, _IN_FILE, path)
    return cls(**{key: content[key] for key in _IN_FILE})

  def write(self, path: str) -> None:
    """Write the file."""
    files.write_json(path, dataclasses.asdict(self))


def main(argv: list[str]) -> int:
  """Run the program; return its exit status."""
  cli.refuse_arguments(argv)
  cli.refuse_flags('distributed', 'distributed_timeout')
  workdir = cli.workdir() or cli.default_workdir(sys.argv) + '_learning_rate'
  command = shlex.join(['python', '-m', 'experiments.select_learning_rate', *sys.argv[1:]])
  compilation_cache.enable()
  try:
    selection = select(
        cli.CONFIG.value, workdir, StopRequest(), command, cli.config_file(sys.argv)
    )
  except Interrupted as interruption:
    print(f'{interruption}; the same command goes on from there', file=sys.stderr)
    return cli.INTERRUPTED
  except Diverged as divergence:
    print(f'error: {divergence}', file=sys.stderr)
    return 1
  selection.write(os.path.join(workdir, 'learning_rate.json'))
  for tried, reason in selection.diverged.items():
    print(f'learning rate {tried} diverged: {reason}')
  print(
      f'learning rate {selection.learning_rate}: the greatest that did not diverge; see {workdir}'
  )
  return 0


def select(
    config: ConfigDict,
    workdir: str,
    stop: StopRequest,
    command: str = '',
    config_file: str | None = None,
) -> Selection:
  """Train with each rate until one does not diverge.

  Args:
    config: the configuration; its learning rate is not used.
    workdir: the folder of the runs' folders.
    stop: asked whether to stop, see `train_and_evaluate`.
    command: the command that started the runs, for their summaries.
    config_file: see `train_and_evaluate`.

  Raises:
    Diverged: if training diverges with all of them.
    Interrupted: see `train_and_evaluate`.
  """
  compared = _compared(config)
  reasons: dict[str, str] = {}
  for rate in RATES:
    trial = config.copy_and_resolve_references()
    with trial.unlocked():
      trial.learning_rate = rate
    folder = trial_folder(workdir, rate)
    try:
      train_and_evaluate(trial, folder, stop.requested, command, config_file)
      key = f'train/{compared}'
      reason = divergence([r[key] for r in RunFolder(folder).metrics(keys=[key])], compared)
    except Diverged as error:
      reason = str(error)
    if reason is None:
      return Selection(rate, reasons, config.seed, command)
    reasons[str(rate)] = reason
  raise Diverged(f'learning_rate: training diverged with each of {RATES}: {reasons}')


def trial_folder(workdir: str, rate: float) -> str:
  """Return the folder of the trial of a rate."""
  return os.path.join(workdir, f'learning_rate_{rate}')


def _compared(config: ConfigDict) -> str:
  """Return the name of the loss to compare: it must not rise because weights rise."""
  objective = objectives.create(config.objective.name, **chosen_options(config.objective))
  return 'cross_entropy' if objective.scheduled else 'loss'


def divergence(losses: list[float | None], name: str = 'loss') -> str | None:
  """Return why a curve of training losses counts as diverged; None if it does not.

  It does if a loss is not finite, or if the last is greater than the first.

  Args:
    losses: in the order of training; None for a loss that is not finite.
    name: the name of the loss.
  """
  name = name.replace('_', '-')
  finite = [loss for loss in losses if loss is not None]
  if not finite or len(finite) < len(losses):
    return f'the {name} is not finite'
  if finite[-1] > finite[0]:
    return f'the {name} ended at {finite[-1]:.4g}, above the {finite[0]:.4g} that it began with'
  return None


if __name__ == '__main__':
  cli.run(main)
