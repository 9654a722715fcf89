"""What a finished run trained, from its folder."""

import os
from typing import Any

from experiments import setup as setup_lib
from experiments.validation import from_record
from multiscale_inversion import training
from multiscale_inversion.checkpoints import Checkpoints


def trained(folder: str, run: dict[str, Any]) -> tuple[setup_lib.Setup, training.TrainState]:
  """The experiment of a run, on one device, and the state at its end.

  Args:
    folder: the run's.
    run: its summary.
  """
  config = from_record(run['config'])
  config.num_devices, config.data.placement = 1, 'device'
  setup = setup_lib.build(config)
  checkpoints = Checkpoints(os.path.join(folder, 'checkpoints'))
  try:
    progress, _ = checkpoints.restore(checkpoints.latest_step(), setup.initial_progress())
  finally:
    checkpoints.close()
  return setup, progress.state
