"""The steps of a run: on data that stay on the device, or on batches streamed from the host."""

import numpy as np

from multiscale_inversion import training
from multiscale_inversion.data.streaming import stream
from multiscale_inversion.runs.build import Setup


class Resident:
  """Many steps a dispatch, on data on the device.

  Args:
    setup: the experiment.
    keys: its random keys, on each device.
    step: the number of steps done.
  """

  def __init__(self, setup: Setup, keys: training.Keys, step: int):
    del step
    what = (setup.trainer, setup.sampler, setup.devices, setup.seeds_mode)
    self._loop = training.make_loop(*what)
    self._diagnose = training.make_diagnosis(*what)
    self._setup, self._keys = setup, keys

  def advance(self, progress: training.Progress, count: int) -> training.Progress:
    """Does `count` steps of one epoch."""
    number = self._setup.devices.replicate(np.int32(count))
    return self._loop(progress, self._setup.train_data, self._keys, number)

  def diagnose(self, state: training.TrainState) -> training.Metrics:
    """Reconstruction losses of the last step's batch."""
    return self._diagnose(state, self._setup.train_data, self._keys)


class Streamed:
  """A step a dispatch, its batch gathered on the host while earlier ones run; as `Resident`."""

  def __init__(self, setup: Setup, keys: training.Keys, step: int):
    self._step = training.make_streamed_step(setup.trainer, setup.devices)
    self._diagnose = training.make_streamed_diagnosis(setup.trainer, setup.devices)
    self._devices, self._keys = setup.devices, keys
    self._batches = stream(
        *setup.train_data,
        setup.sampler,
        setup.keys.sampling,
        setup.num_steps,
        # One earlier, for `diagnose` of a run that was resumed.
        first_step=max(step - 1, 0),
        num_devices=setup.devices.count,
    )
    self._last = next(self._batches) if step else None

  def advance(self, progress: training.Progress, count: int) -> training.Progress:
    """Does `count` steps."""
    for _ in range(count):
      self._last = self._devices.scatter(next(self._batches))
      progress = self._step(progress, self._last, self._keys)
    return progress

  def diagnose(self, state: training.TrainState) -> training.Metrics:
    """Reconstruction losses of the last step's batch."""
    return self._diagnose(state, self._last, self._keys)
