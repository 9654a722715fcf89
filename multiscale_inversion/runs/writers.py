"""Where a run's scalars go: a file of JSON lines and TensorBoard events."""

import glob
import json
import math
import os
import statistics
import time
import warnings
from collections.abc import Sequence
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from multiscale_inversion.errors import UserError
from multiscale_inversion.files import open_regular, write_bytes, writing
from multiscale_inversion.runs.folder import METRICS

_FLUSH_SECONDS = 10


class MetricWriter:
  """Writes records to `metrics.jsonl` and event files in a run's folder.

  Everything is written by the thread that calls: a disk that is full shows itself here, not in a
  thread that nobody waits for.

  Args:
    workdir: the folder, which exists.
    step: the step at which training starts or resumes; later records, left by a run that was
      interrupted after its last checkpoint, are dropped, as they will be written again.

  Raises:
    UserError: if `metrics.jsonl` is not a file that can be read.
    StorageError: here and in all methods, if the folder cannot be written to.
  """

  def __init__(self, workdir: str, step: int):
    self._path = os.path.join(workdir, METRICS)
    with writing(self._path):
      self.num_records = _drop_later(self._path, step)
      self._file = open(self._path, 'a', encoding='utf-8')  # noqa: SIM115 (closed by `close`)
    self._events = _Events(workdir, step)

  def write(self, step: int, epoch: float, scalars: dict[str, float]) -> None:
    """Append a record; a value that is not finite is null in the file."""
    record = {'step': step, 'epoch': epoch}
    record |= {k: v if math.isfinite(v) else None for k, v in scalars.items()}
    with writing(self._path):
      self._file.write(json.dumps(record) + '\n')
      self._file.flush()
    self.num_records += 1
    self._events.write(step, scalars)

  def sync(self) -> None:
    """Make sure that what was written outlasts a power cut."""
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
  """TensorBoard's events of scalars, written without a thread of their own."""

  def __init__(self, workdir: str, step: int):
    self._folder = workdir
    self._flushed = time.monotonic()
    with writing(workdir):
      # The step keeps a run that is resumed within a second from writing over its own file.
      self._writer = EventsWriter(os.path.join(workdir, 'events'), f'.{step}')
      start = SessionLog(status=SessionLog.START)  # TensorBoard forgets what came after this step.
      self._writer.write_event(Event(wall_time=time.time(), step=step + 1, session_log=start))

  def write(self, step: int, scalars: dict[str, float]) -> None:
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


class SeedWriters:
  """Writes the records of runs that differ in their seed.

  A single run's into its folder; of several, the means over the seeds there, and each seed's own
  into a folder `seed_N` inside.

  Args:
    workdir: the folder, which exists.
    step: see `MetricWriter`.
    seeds: the runs'.

  Raises:
    UserError, StorageError: as `MetricWriter`.
  """

  def __init__(self, workdir: str, step: int, seeds: Sequence[int]):
    self._means = MetricWriter(workdir, step)
    folders = [os.path.join(workdir, f'seed_{seed}') for seed in seeds if len(seeds) > 1]
    for folder in folders:
      with writing(folder):
        os.makedirs(folder, exist_ok=True)
    self._own = [MetricWriter(folder, step) for folder in folders]

  @property
  def num_records(self) -> int:
    """The number of records of the seed that has the fewest."""
    return min(writer.num_records for writer in (self._means, *self._own))

  def write(self, step: int, epoch: float, scalars: Sequence[dict[str, float]]) -> None:
    """Append a record of each seed, as `MetricWriter.write` does."""
    self._means.write(step, epoch, mean_scalars(scalars))
    for writer, own in zip(self._own, scalars if self._own else (), strict=True):
      writer.write(step, epoch, own)

  def sync(self) -> None:
    """Make sure that what was written outlasts a power cut."""
    for writer in (self._means, *self._own):
      writer.sync()

  def close(self) -> None:
    """Flush and close the files."""
    for writer in (self._means, *self._own):
      writer.close()


def mean_scalars(scalars: Sequence[dict[str, float]]) -> dict[str, float]:
  """Return the means over the seeds of scalars by name."""
  return {name: statistics.fmean(own[name] for own in scalars) for name in scalars[0]}


class NoWriter:
  """A `SeedWriters` for processes that leave writing to another."""

  num_records = 0

  def write(self, step: int, epoch: float, scalars: Sequence[dict[str, float]]) -> None:
    """Write nothing."""

  def sync(self) -> None:
    """Do nothing."""

  def close(self) -> None:
    """Do nothing."""


def read(workdir: str, seed: int | None = None) -> list[dict[str, Any]]:
  """Read the records of `metrics.jsonl` in a run's folder.

  With a seed, of a run of several, this seed's own and not the means; a run of one holds its own.
  An unfinished last line is left out, and what else cannot be read is too, with a warning.

  Raises:
    UserError: for a seed that a run of several does not hold, or if there is no such file.
  """
  if seed is not None and glob.glob(os.path.join(glob.escape(workdir), 'seed_*')):
    workdir = os.path.join(workdir, f'seed_{seed}')
    if not os.path.isdir(workdir):
      raise UserError(f'{workdir}: no such folder; the run holds other seeds')
  return [record for _, record in _records(os.path.join(workdir, METRICS))]


def _records(path: str) -> list[tuple[bytes, dict[str, Any]]]:
  """Return the lines that hold a record, and these, in ascending order of their steps."""
  with open_regular(path) as file:
    lines = file.read().splitlines(keepends=True)
  found, unreadable, last = [], 0, 0
  for line in lines:
    record = _record(line)
    if record is None:
      # What a power cut or a kill leaves at the end is no reason for a warning.
      unreadable += line is not lines[-1]
    elif record['step'] > last:
      last = record['step']
      found.append((line, record))
  if unreadable:
    warnings.warn(f'{path}: {unreadable} lines cannot be read and are left out', stacklevel=3)
  return found


def _record(line: bytes) -> dict[str, Any] | None:
  """Return the record of a line; None for a line that holds none, whole and sound."""
  try:
    record = json.loads(line.decode('utf-8')) if line.endswith(b'\n') else None
  except (ValueError, RecursionError):
    return None
  numbers = isinstance(record, dict) and all(
      value is None or (isinstance(value, int | float) and not isinstance(value, bool))
      for value in record.values()
  )
  sound = numbers and isinstance(record.get('step'), int) and record.get('epoch') is not None
  return record if sound else None


def _drop_later(path: str, step: int) -> int:
  """Drop all but the records up to a step, and return how many are left."""
  if not os.path.lexists(path):
    return 0
  kept = [line for line, record in _records(path) if record['step'] <= step]
  write_bytes(path, b''.join(kept))
  return len(kept)
