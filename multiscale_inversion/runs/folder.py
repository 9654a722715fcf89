"""The folder of a run: the names of its files, what they must hold, and whose it is."""

import contextlib
import fcntl
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from multiscale_inversion.errors import UserError
from multiscale_inversion.files import open_regular, read_json, write_json, writing

CONFIG = 'config.json'
DATA = 'data.json'
SUMMARY = 'summary.json'
METRICS = 'metrics.jsonl'
CHECKPOINTS = 'checkpoints'

# What tells that a file was not written by a run, or not all of it.
_IN_CONFIG = {'data': dict, 'network': dict, 'objective': dict, 'seed': int, 'num_seeds': int}
_IN_DATA = {'class_names': list, 'image_shape': list}


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
    return self._path(CHECKPOINTS)

  def config(self) -> dict[str, Any]:
    """Read `config.json`: the configuration that the run began with.

    Raises:
      UserError: if it is missing, damaged, or not a configuration.
    """
    return self._needed(CONFIG, _IN_CONFIG)

  def data(self) -> dict[str, Any]:
    """Read `data.json`: what the run's data set was.

    Raises:
      UserError: if it is missing, damaged, or says something else.
    """
    found = self._needed(DATA, _IN_DATA)
    names, shape = found['class_names'], found['image_shape']
    if len(names) < 2 or not all(isinstance(name, str) for name in names):
      raise UserError(f'{self._path(DATA)}: class_names: {names!r}; allowed: at least two names')
    if len(shape) != 3 or not all(_is(size, int) and size > 0 for size in shape):
      raise UserError(f'{self._path(DATA)}: image_shape: {shape!r}; allowed: [H, W, C]')
    return found

  def write_summary(self, summary: Mapping[str, Any]) -> None:
    """Write `summary.json`, whole or not at all.

    Raises:
      StorageError: if it cannot be written.
    """
    self._write(SUMMARY, summary)

  def has_begun(self) -> bool:
    """Return whether there is a run that can go on, or is finished: a checkpoint, or a summary."""
    saved = os.path.isdir(self.checkpoints) and any(map(str.isdigit, os.listdir(self.checkpoints)))
    return saved or os.path.lexists(self._path(SUMMARY))

  @contextlib.contextmanager
  def claim(self, config: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[None]:
    """Make the folder a run's, if it is not yet, and keep other processes out of it.

    Args:
      config: what `config.json` is to hold.
      data: what `data.json` is to hold. Both are written, in place of those of a run that has not
        begun; those of a run that has are left as they are.

    Raises:
      UserError: if the folder cannot be made, or another run is under way in it.
      StorageError: if it cannot be written to.
    """
    try:
      os.makedirs(self.path, exist_ok=True)
    except OSError as error:
      raise UserError(
          f'--workdir: {self.path} cannot be made a folder: {error.strerror}'
      ) from error
    with self._locked():
      self._remove_parts()
      if not self.has_begun():
        self._write(CONFIG, config)
        self._write(DATA, data)
      yield

  def digests(self) -> dict[str, str]:
    """Return the SHA-256 of the files that a run begins with, for its checkpoints to hold."""
    return {name: _sha256(self._path(name)) for name in (CONFIG, DATA)}

  def check_digests(self, digests: Mapping[str, str] | None) -> None:
    """Check that the files are those that the run began with.

    Args:
      digests: what `digests` gave then; None of a run of an older version, which kept none.

    Raises:
      UserError: if one is another.
    """
    for name, digest in (digests or {}).items():
      if _sha256(self._path(name)) != digest:
        raise UserError(
            f'{self._path(name)}: changed since the run began; allowed: the file as it was, or '
            'another folder for a new run'
        )

  def _path(self, name: str) -> str:
    return os.path.join(self.path, name)

  def _needed(self, name: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    path = self._path(name)
    if not os.path.lexists(path):
      raise UserError(
          f'{self.path}: not the folder of a run, which holds {CONFIG}, {DATA} and {CHECKPOINTS}; '
          f'{name} is missing'
      )
    found = read_json(path)
    _check_keys(path, found, keys)
    return found

  def _write(self, name: str, content: Mapping[str, Any]) -> None:
    with writing(self._path(name)):
      write_json(self._path(name), content)

  def _remove_parts(self) -> None:
    """Remove files that were being written when a process was killed."""
    for name in os.listdir(self.path):
      if name.endswith('.part') and os.path.isfile(self._path(name)):
        os.unlink(self._path(name))

  @contextlib.contextmanager
  def _locked(self) -> Iterator[None]:
    """Keep other processes out, until it is left or this process ends."""
    descriptor = os.open(self.path, os.O_RDONLY)
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      os.close(descriptor)
      raise UserError(
          f'{self.path}: another run is under way in it; allowed: another --workdir=DIR, or to wait'
      ) from error
    except OSError as error:  # some network file systems have no locks
      print(f'warning: {self.path} cannot be locked: {error.strerror}', file=sys.stderr)
    try:
      yield
    finally:
      os.close(descriptor)


def _check_keys(path: str, found: Any, keys: Mapping[str, Any]) -> None:
  """Raise a `UserError` unless a file holds an object with values of these types."""
  if not isinstance(found, dict):
    raise UserError(f'{path}: holds {type(found).__name__}; allowed: a JSON object')
  for key, kind in keys.items():
    if key not in found:
      raise UserError(f'{path}: {key} is missing; allowed: the file as the run wrote it')
    if not _is(found[key], kind):
      raise UserError(
          f'{path}: {key} is {str(found[key])[:40]!r}; allowed: the file as the run wrote it'
      )


def _is(value: Any, kind: Any) -> bool:
  """`isinstance`, but truth values are not numbers."""
  return isinstance(value, kind) and not isinstance(value, bool)


def _sha256(path: str) -> str:
  with open_regular(path) as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()
