"""Where a run's scalars go: a file of JSON lines and TensorBoard events."""

import glob
import json
import math
import os
import statistics
from collections.abc import Sequence

import tensorboardX

from multiscale_inversion.errors import UserError


class MetricWriter:
  """Writes records to `metrics.jsonl` and event files in a run's folder.

  Args:
    workdir: the folder, which exists.
    step: the step at which training starts or resumes; later records, left by a run that was
      interrupted after its last checkpoint, are dropped, as they will be written again.
  """

  def __init__(self, workdir: str, step: int):
    path = os.path.join(workdir, 'metrics.jsonl')
    _drop_later(path, step)
    self._file = open(path, 'a', encoding='utf-8')  # noqa: SIM115 (closed by `close`)
    self._events = tensorboardX.SummaryWriter(workdir, purge_step=step + 1)

  def write(self, step: int, epoch: float, scalars: dict[str, float]) -> None:
    """Appends a record; a value that is not finite is null in the file."""
    record = {'step': step, 'epoch': epoch}
    record |= {k: v if math.isfinite(v) else None for k, v in scalars.items()}
    self._file.write(json.dumps(record) + '\n')
    self._file.flush()
    for name, value in scalars.items():
      self._events.add_scalar(name, value, step)

  def close(self) -> None:
    """Flushes and closes the files."""
    self._file.close()
    self._events.close()


class SeedWriters:
  """Writes the records of runs that differ in their seed.

  A single run's into its folder; of several, the means over the seeds there, and each seed's own
  into a folder `seed_N` inside.

  Args:
    workdir: the folder, which exists.
    step: see `MetricWriter`.
    seeds: the runs'.
  """

  def __init__(self, workdir: str, step: int, seeds: Sequence[int]):
    self._means = MetricWriter(workdir, step)
    folders = [os.path.join(workdir, f'seed_{seed}') for seed in seeds if len(seeds) > 1]
    for folder in folders:
      os.makedirs(folder, exist_ok=True)
    self._own = [MetricWriter(folder, step) for folder in folders]

  def write(self, step: int, epoch: float, scalars: Sequence[dict[str, float]]) -> None:
    """Appends a record of each seed, as `MetricWriter.write` does."""
    self._means.write(step, epoch, mean_scalars(scalars))
    for writer, own in zip(self._own, scalars if self._own else (), strict=True):
      writer.write(step, epoch, own)

  def close(self) -> None:
    """Flushes and closes the files."""
    for writer in (self._means, *self._own):
      writer.close()


def mean_scalars(scalars: Sequence[dict[str, float]]) -> dict[str, float]:
  """The means over the seeds of scalars by name."""
  return {name: statistics.fmean(own[name] for own in scalars) for name in scalars[0]}


class NoWriter:
  """A `SeedWriters` for processes that leave writing to another."""

  def write(self, step: int, epoch: float, scalars: Sequence[dict[str, float]]) -> None:
    """Writes nothing."""

  def close(self) -> None:
    """Nothing to close."""


def read(workdir: str, seed: int | None = None) -> list[dict]:
  """The records of `metrics.jsonl` in a run's folder; an unfinished last line is left out.

  With a seed, of a run of several, this seed's own and not the means; a run of one holds its own.

  Raises:
    UserError: for a seed that a run of several does not hold.
  """
  records = []
  if seed is not None and glob.glob(os.path.join(glob.escape(workdir), 'seed_*')):
    workdir = os.path.join(workdir, f'seed_{seed}')
    if not os.path.isdir(workdir):
      raise UserError(f'{workdir}: no such folder; the run holds other seeds')
  with open(os.path.join(workdir, 'metrics.jsonl'), encoding='utf-8') as file:
    for line in file:
      if line.endswith('\n'):
        records.append(json.loads(line))
  return records


def _drop_later(path: str, step: int) -> None:
  if not os.path.exists(path):
    return
  kept = [record for record in read(os.path.dirname(path)) if record['step'] <= step]
  temporary = path + '.part'
  with open(temporary, 'w', encoding='utf-8') as file:
    file.writelines(json.dumps(record) + '\n' for record in kept)
  os.replace(temporary, path)
