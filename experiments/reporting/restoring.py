"""What a finished run trained, from its folder."""

from typing import Any

from multiscale_inversion import training
from multiscale_inversion.checkpoints import Checkpoints
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import build as setup_lib
from multiscale_inversion.runs.config import from_record
from multiscale_inversion.runs.folder import RunFolder


def trained(folder: str, run: dict[str, Any]) -> tuple[setup_lib.Setup, training.TrainState]:
  """The experiment of a run, on one device, and the state at its end.

  Args:
    folder: the run's.
    run: its summary.

  Raises:
    UserError: if there is no sound checkpoint, or it is of another version.
  """
  config = from_record(run['config'])
  config.num_devices, config.data.placement = 1, 'device'
  setup = setup_lib.build(config)
  checkpoints = RunFolder(folder).checkpoints
  found = Checkpoints(checkpoints).restore(setup.initial_loop_state())
  if found is None:
    raise UserError(f'{checkpoints}: no checkpoint; allowed: the folder of a finished run')
  return setup, found.tree.state
