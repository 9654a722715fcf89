"""Write a run's scalars to a file of JSON lines and to TensorBoard events."""

import json
import math
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from multiscale_inversion.files import writing
from multiscale_inversion.runs import metrics
from multiscale_inversion.runs.callbacks import Callback, Record
from multiscale_inversion.runs.folder import RunFolder

_FLUSH_SECONDS = 10


class MetricWriter:
  """Write records to a `metrics.jsonl` and to event files beside it.

  The calling thread writes everything, so that a full disk raises an error here and not in a thread
  that nobody waits for.

  Args:
    path: the file, in a folder that exists.
    step: the step at which training starts or resumes. Later records, left by a run that was
      interrupted after its last checkpoint, are dropped, since they will be written again.

  Raises:
    UserError: if the file cannot be read.
    StorageError: here and in all methods, if the folder cannot be written to.
  """

  def __init__(self, path: str, step: int):
    self._path = path
    with writing(path):
      self.num_records = metrics.drop_later(path, step)
      self._file = open(path, 'a', encoding='utf-8')  # noqa: SIM115 (closed by `close`)
    self._events = _Events(os.path.dirname(path), step)

  def write(
      self,
      step: int,
      epoch: float,
      scalars: Mapping[str, float],
      more: Mapping[str, float] = MappingProxyType({}),
  ) -> None:
    """Append a record; values that are not finite become null in the file.

    Args:
      step: number of steps done.
      epoch: the same in epochs.
      scalars: the record's.
      more: scalars for the events alone, such as the speed, which no two runs share.
    """
    values = {k: v if math.isfinite(v) else None for k, v in scalars.items()}
    record = {'step': step, 'epoch': epoch, **values}
    with writing(self._path):
      self._file.write(json.dumps(record) + '\n')
      self._file.flush()
    self.num_records += 1
    self._events.write(step, {**scalars, **more})

  def sync(self) -> None:
    """Flush everything to the disk, so that it outlasts a power cut."""
    with writing(self._path):
      self._file.flush()
      os.fsync(self._file.fileno())
    self._events.flush()

  def close(self) -> None:
    """Flush and close the files."""
    try:
      with writing(self._path):
        self._file.close()
    finally:
      self._events.close()


class _Events:
  """Write TensorBoard events of scalars in the calling thread."""

  def __init__(self, folder: str, step: int):
    self._folder = folder
    self._flushed = time.monotonic()
    with writing(folder):
      # The step keeps a run that resumes within a second from overwriting its own file.
      self._writer = EventsWriter(os.path.join(folder, 'events'), f'.{step}')
      start = SessionLog(status=SessionLog.START)  # TensorBoard drops the events after this step.
      self._writer.write_event(Event(wall_time=time.time(), step=step + 1, session_log=start))

  def write(self, step: int, scalars: Mapping[str, float]) -> None:
    with writing(self._folder):
      for name, value in scalars.items():
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
        self._writer.write_event(Event(wall_time=time.time(), step=step, summary=summary))
    if time.monotonic() - self._flushed > _FLUSH_SECONDS:
      self.flush()

  def flush(self) -> None:
    self._flushed = time.monotonic()
    with writing(self._folder):
      self._writer.flush()

  def close(self) -> None:
    with writing(self._folder):
      self._writer.close()


class SeedWriters(Callback):
  """Write the records of runs that differ in their seeds.

  The records of a single run go into its folder. With several seeds, the means over the seeds go
  there, and the records of each seed into the folder `seed_N` inside.

  Args:
    folder: the run's folder, which exists.
    step: see `MetricWriter`.
    seeds: the seeds.

  Raises:
    UserError, StorageError: see `MetricWriter`.
  """

  def __init__(self, folder: RunFolder, step: int, seeds: Sequence[int]):
    self._means = MetricWriter(folder.metrics_file(), step)
    paths = [folder.metrics_file(seed) for seed in seeds if len(seeds) > 1]
    for path in paths:
      with writing(os.path.dirname(path)):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    self._own = [MetricWriter(path, step) for path in paths]

  @property
  def num_records(self) -> int:
    """The number of records of the seed that has the fewest."""
    return min(writer.num_records for writer in (self._means, *self._own))

  def on_record(self, record: Record) -> None:
    """Append a record for each seed; see `MetricWriter.write`."""
    self._means.write(record.step, record.epoch, record.scalars, record.more)
    for writer, own in zip(self._own, record.by_seed if self._own else (), strict=True):
      writer.write(record.step, record.epoch, own)

  def on_checkpoint(self, step: int) -> None:
    """Flush everything to the disk: a checkpoint must not outlast the records before it."""
    del step
    for writer in (self._means, *self._own):
      writer.sync()

  def close(self) -> None:
    """Flush and close the files."""
    for writer in (self._means, *self._own):
      writer.close()


def mean_scalars(scalars: Sequence[Mapping[str, float]]) -> dict[str, float]:
  """Return the mean over the seeds of each scalar, by name."""
  return {name: statistics.fmean(own[name] for own in scalars) for name in scalars[0]}


class NoWriter(Callback):
  """Replace `SeedWriters` in processes that write nothing."""

  num_records = 0

  def close(self) -> None:
    """Do nothing."""
