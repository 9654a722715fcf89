"""The folder of a run: its files' names, what they must hold, and which run it belongs to."""

import contextlib
import errno
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import filelock
from ml_collections import ConfigDict

from multiscale_inversion import parallel
from multiscale_inversion.data.dataset import Dataset, checksum
from multiscale_inversion.errors import UserError
from multiscale_inversion.files import (
  make_folder,
  read_bytes,
  read_json,
  write_bytes,
  write_json,
  writing,
)
from multiscale_inversion.runs import kinds, recorded
from multiscale_inversion.runs.config import from_record
from multiscale_inversion.runs.finished import FinishedRun, check_config
from multiscale_inversion.runs.metrics import Record, read
from multiscale_inversion.training.initial import checksum as checksum_of_variables

_CONFIG = 'config.json'
_CONFIG_FILE = 'config.py'
_DATA = 'data.json'
_SUMMARY = 'summary.json'
_METRICS = 'metrics.jsonl'
_CHECKPOINTS = 'checkpoints'
_LOCK = '.lock'
# The errors of network file systems that have no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

# The types of these values tell a file that a run has written whole.
_IN_CONFIG = {'seed': int, 'num_seeds': int}
_IN_DATA = {'class_names': list, 'image_shape': list}
BATCH = 'batch'  # of `data.json`: the numbers of labeled and of unlabeled images in a batch
_SHARES = kinds.Kind(
    lambda v: isinstance(v, list) and len(v) == 2 and all(map(kinds.whole(1).test, v)),
    'a list of two whole numbers from 1 up',
)
_SAME_DATA = (
    'class_names', 'image_shape', 'num_train', 'num_train_with_label', 'num_test', 'num_validation',
)


class RunFolder:
  """A run's folder, which need not exist yet.

  Args:
    path: the folder.
  """

  def __init__(self, path: str):
    self.path = path

  def __str__(self) -> str:
    return self.path

  @property
  def checkpoints(self) -> str:
    """The folder of the checkpoints."""
    return self.file(_CHECKPOINTS)

  @property
  def config_file(self) -> str:
    """The path of `config.json`."""
    return self.file(_CONFIG)

  def file(self, name: str) -> str:
    """Return the path of a file in the folder."""
    return os.path.join(self.path, name)

  def metrics_file(self, seed: int | None = None) -> str:
    """Return the path of `metrics.jsonl`: of the run, or of one seed of a run of several."""
    return self.file(_METRICS if seed is None else os.path.join(f'seed_{seed}', _METRICS))

  def metrics(self, seed: int | None = None, keys: Sequence[str] = ()) -> list[Record]:
    """Read the records of the run, at least one.

    Args:
      seed: in a run of several seeds, whose records are read; the means over the seeds if None.
        A run of a single seed has its own records only.
      keys: scalars that every record must hold.

    Raises:
      UserError: for a seed that a run of several does not hold; and see `metrics.read`.
    """
    several = os.path.isdir(self.path) and any(
        name.startswith('seed_') for name in os.listdir(self.path)
    )
    path = self.metrics_file(seed if several else None)
    if not os.path.isdir(os.path.dirname(path)):
      raise UserError(f'{os.path.dirname(path)}: no such folder; the run holds other seeds')
    return read(path, keys)

  def config(self) -> dict[str, Any]:
    """Read `config.json`, the configuration with which the run began.

    Raises:
      UserError: if it is missing, damaged, or not a configuration.
    """
    found = self._needed(_CONFIG, _IN_CONFIG)
    check_config(found, self.file(_CONFIG))
    return found

  def data(self) -> dict[str, Any]:
    """Read `data.json`, the record of the run's data set.

    Raises:
      UserError: if it is missing, damaged, or holds something else.
    """
    found = self._needed(_DATA, _IN_DATA)
    names, shape = found['class_names'], found['image_shape']
    if len(names) < 2 or not all(isinstance(name, str) for name in names):
      raise UserError(f'{self.file(_DATA)}: class_names: {names!r}; allowed: at least two names')
    if len(shape) not in (1, 2, 3) or not all(map(kinds.whole(1).test, shape)):
      raise UserError(
          f'{self.file(_DATA)}: image_shape: {shape!r}; allowed: [H, W, C], [time, features] or '
          '[features]'
      )
    return found

  def shares(self) -> tuple[int, int] | None:
    """Return the numbers of labeled and unlabeled images in the batches of the run that has begun.

    None if none has. In a run of an earlier version, they are its configuration's.

    Raises:
      UserError: if `data.json` or `config.json` is missing or damaged.
    """
    if not self.has_begun():
      return None
    found = self.data().get(BATCH)
    if found is None:
      config = from_record(self.config())
      return parallel.shares(config.batch_size, config.labeled_fraction)
    kinds.check(found, _SHARES, f'{self.file(_DATA)}: {BATCH}')
    labeled, unlabeled = found
    return labeled, unlabeled

  def summary(self) -> FinishedRun:
    """Read `summary.json`, the finished run.

    Raises:
      UserError: if the folder holds no finished run, or the file is damaged.
    """
    path = self.file(_SUMMARY)
    if not os.path.lexists(path):
      if not os.path.isdir(self.path):
        raise UserError(f'{self.path}: no such folder')
      raise UserError(f'{self.path}: no finished run ({_SUMMARY})')
    return FinishedRun.from_json(read_json(path), path)

  def write_summary(self, run: FinishedRun) -> None:
    """Write `summary.json`, whole or not at all.

    Raises:
      StorageError: if it cannot be written.
    """
    write_json(self.file(_SUMMARY), run.to_json())

  def is_finished(self) -> bool:
    """Return whether there is a `summary.json`, which `summary` checks."""
    return os.path.lexists(self.file(_SUMMARY))

  def has_begun(self) -> bool:
    """Return whether the run has a checkpoint or is finished."""
    saved = os.path.isdir(self.checkpoints) and any(map(str.isdigit, os.listdir(self.checkpoints)))
    return saved or self.is_finished()

  def check_config(self, config: ConfigDict, file: bytes | None = None) -> None:
    """Check that the folder is that of this configuration's run, or of none that has begun.

    Args:
      config: the resolved configuration.
      file: the content of its file, see `recorded.describe`.

    Raises:
      UserError: if it belongs to a run of another configuration: lists the differences.
    """
    if self.has_begun():
      recorded.check_same(self.config(), config, file, self.path)

  def check_data(
      self, dataset: Dataset, initial: Mapping[str, Any] | None = None
  ) -> dict[str, Any]:
    """Check that a run that resumes has the data and the first weights with which it began.

    Args:
      dataset: the data set.
      initial: the variables that the training starts from; None for random ones.

    Returns:
      The content of `data.json`, but for `BATCH`.

    Raises:
      UserError: if the data differ: lists the differences.
    """
    now = recorded.as_json(_data_record(dataset))
    if initial is not None:
      now['initial_variables'] = checksum_of_variables(initial)
    if not self.has_begun():
      return now
    found = self.data()
    differences = [
        f'{key} was {found.get(key)!r}, now {now[key]!r}'
        for key in _SAME_DATA
        if key in found and found[key] != now[key]
    ]
    if not differences and found.get('sha256', now['sha256']) != now['sha256']:
      differences = ['images, labels or their order are others']
    if found.get('initial_variables') != now.get('initial_variables'):
      differences.append('the weights that the training starts from are others')
    if differences:
      raise UserError(
          f'{self} holds a run on other data: {"; ".join(differences)}; give --workdir=DIR for a '
          'new run, or the old data to go on with this one'
      )
    return now

  @contextlib.contextmanager
  def claim(
      self, config: Mapping[str, Any], about_data: Mapping[str, Any], file: bytes | None = None
  ) -> Iterator[None]:
    """Make the folder that of a run, if it is not yet, and keep other processes out of it.

    Args:
      config: the content of `config.json`.
      about_data: the content of `data.json`. Both are written unless the run has begun.
      file: the content of `config.py`, the file that defines the run's custom loss, if any.

    Raises:
      UserError: if the folder cannot be made, or another run is under way in it.
      StorageError: if it cannot be written to.
    """
    make_folder(self.path, '--workdir')
    with self._locked():
      self._remove_parts()
      if not self.has_begun():
        write_json(self.file(_CONFIG), config)
        write_json(self.file(_DATA), about_data)
        if file is not None:
          write_bytes(self.file(_CONFIG_FILE), file)
      yield

  def digests(self) -> dict[str, str]:
    """Return the SHA-256 of the files with which a run begins, to be kept in its checkpoints."""
    return {name: _sha256(self.file(name)) for name in (_CONFIG, _DATA)}

  def check_digests(self, digests: Mapping[str, str] | None) -> None:
    """Check that the files are those with which the run began.

    Args:
      digests: what `digests` returned then; None for a run of an early version, which kept none.

    Raises:
      UserError: if one has changed.
    """
    for name, digest in (digests or {}).items():
      if _sha256(self.file(name)) != digest:
        raise UserError(
            f'{self.file(name)}: changed since the run began; allowed: the file as it was, or '
            'another folder for a new run'
        )

  def _needed(self, name: str, keys: Mapping[str, type]) -> dict[str, Any]:
    path = self.file(name)
    if not os.path.lexists(path):
      raise UserError(
          f'{self.path}: not the folder of a run, which holds {_CONFIG}, {_DATA} and '
          f'{_CHECKPOINTS}; {name} is missing'
      )
    found = read_json(path)
    if not isinstance(found, dict):
      raise UserError(f'{path}: holds {type(found).__name__}; allowed: a JSON object')
    for key, kind in keys.items():
      if key not in found:
        raise UserError(f'{path}: {key} is missing; allowed: the file as the run wrote it')
      if not isinstance(found[key], kind) or isinstance(found[key], bool):
        shown = str(found[key])[:40]
        raise UserError(f'{path}: {key} is {shown!r}; allowed: the file as the run wrote it')
    return found

  def _remove_parts(self) -> None:
    """Remove files that were being written when a process was killed."""
    for name in os.listdir(self.path):
      if name.endswith('.part') and os.path.isfile(self.file(name)):
        os.unlink(self.file(name))

  @contextlib.contextmanager
  def _locked(self) -> Iterator[None]:
    """Keep other processes out until the context is left or this process ends."""
    lock = filelock.FileLock(self.file(_LOCK))
    try:
      lock.acquire(blocking=False)
    except filelock.Timeout as error:
      raise UserError(
          f'{self.path}: another run is under way in it; allowed: another --workdir=DIR, or to wait'
      ) from error
    except (OSError, NotImplementedError) as error:
      if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
        with writing(self.file(_LOCK)):
          raise
      print(f'warning: {self.path} cannot be locked: {error}', file=sys.stderr)
    try:
      yield
    finally:
      lock.release()


def about_data(dataset: Dataset) -> dict[str, Any]:
  """Return what `data.json` and `summary.json` both say about a data set."""
  return {
      'class_names': tuple(dataset.class_names),
      'image_shape': tuple(dataset.train_images.shape[1:]),
      'skipped_images': len(dataset.skipped),
  }


def _data_record(dataset: Dataset) -> dict[str, Any]:
  """Return the content of `data.json`: what a trained network needs, and what was used."""
  return {
      **about_data(dataset),
      'num_train': len(dataset.train_labels),
      'num_train_with_label': int((dataset.train_labels >= 0).sum()),
      'num_test': len(dataset.test_labels),
      'num_validation': len(dataset.validation_labels),
      'skipped': [': '.join(entry) for entry in dataset.skipped],
      'sha256': checksum(dataset),
  }


def _sha256(path: str) -> str:
  return hashlib.sha256(read_bytes(path)).hexdigest()
