"""What a run tells those who listen: the writers of its records, and a user's own trackers."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from multiscale_inversion.runs.finished import FinishedRun


class Record(NamedTuple):
  """A record of a run: means since the last one, and at the end of an epoch the test error.

  Attributes:
    step: number of steps done.
    epoch: the same in epochs.
    scalars: by name, such as `train/loss` and `test/error` (percent); of several seeds, the means.
    by_seed: the scalars of each seed.
    more: what else TensorBoard shows: `steps_per_second`, and `test/class_error/NAME`, a class's
      error in percent; of several seeds, the mean.
  """

  step: int
  epoch: float
  scalars: Mapping[str, float]
  by_seed: Sequence[Mapping[str, float]]
  more: Mapping[str, float] = MappingProxyType({})


class Callback:
  """Base of what listens to a run; subclasses override the methods that they need.

  Methods are called in process 0, in the thread that trains, which waits for them. Their errors end
  the run, which resumes from its last checkpoint. A run that resumes has told of the steps before
  it; those after its last checkpoint are told of again.
  """

  def on_record(self, record: Record) -> None:
    """Take a record, every `log_every_steps` and at the end of each epoch."""

  def on_checkpoint(self, step: int) -> None:
    """Prepare for a checkpoint of this step, which is saved next."""

  def on_end(self, run: FinishedRun) -> None:
    """Take the finished run; not called for a run that was interrupted or had been finished."""


class Callbacks(Callback):
  """Several callbacks as one, told in their order."""

  def __init__(self, callbacks: Sequence[Callback]):
    self._callbacks = tuple(callbacks)

  def on_record(self, record: Record) -> None:
    """Tell all of a record."""
    for callback in self._callbacks:
      callback.on_record(record)

  def on_checkpoint(self, step: int) -> None:
    """Tell all of a checkpoint."""
    for callback in self._callbacks:
      callback.on_checkpoint(step)

  def on_end(self, run: FinishedRun) -> None:
    """Tell all of the end."""
    for callback in self._callbacks:
      callback.on_end(run)
