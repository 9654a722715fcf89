"""Sets that TensorFlow Datasets has prepared as array_record files, read without TensorFlow."""

import concurrent.futures
import json
import logging
import os
from typing import Any

import numpy as np

from multiscale_inversion.data.dataset import Dataset
from multiscale_inversion.errors import UserError
from multiscale_inversion.regular_files import NotRegularError, check_regular, open_regular

NAMES = ('mnist', 'fashion_mnist', 'cifar10', 'svhn_cropped')
_CHUNK = 2000
_INFO = 'dataset_info.json'


def is_prepared(name: str, folder: str) -> bool:
  """Return whether TFDS's data folder holds the prepared set. Nothing is downloaded.

  Raises:
    UserError: if it holds the set in another version or format, or its files are damaged.
  """
  found = os.path.join(folder, name)
  if not os.path.isdir(found):
    return False  # Before the import, which takes a while.
  import tensorflow_datasets as tfds  # noqa: PLC0415

  version = str(tfds.builder_cls(name).VERSION)
  path = os.path.join(found, version)
  if not os.path.exists(os.path.join(path, _INFO)):
    _check_versions(name, found, version)
    return False
  _check_files(name, path)
  _check_info(name, path)
  try:
    with _Quiet():
      return tfds.builder(name, data_dir=folder).is_prepared()
  except Exception as error:  # TFDS raises whatever odd metadata make it stumble over
    raise _damaged(name, path, f'cannot be read: {_in_one_line(error)}') from error


def _check_versions(name: str, found: str, version: str) -> None:
  """Raise a `UserError` if the set is there in another version."""
  others = [
      inner for inner in sorted(os.listdir(found))
      if os.path.exists(os.path.join(found, inner, _INFO)) and inner.replace('.', '').isdigit()
  ]
  if others:
    raise UserError(
        f'data set {name}: {found} holds version {", ".join(others)}; allowed: {version}, which '
        f'this version of TensorFlow Datasets reads: python -m experiments.prepare {name}'
    )


def _check_files(name: str, path: str) -> None:
  """Raise a `UserError` if a file is not a regular one."""
  for file in sorted(os.listdir(path)):
    try:
      check_regular(os.path.join(path, file))
    except NotRegularError as error:
      if not os.path.isdir(os.path.join(path, file)):
        raise UserError(f'data set {name}: {os.path.join(path, file)}: {error}') from error
    except OSError as error:
      raise UserError(
          f'data set {name}: {os.path.join(path, file)}: {error.strerror}'
      ) from error


def _check_info(name: str, path: str) -> None:
  """Raise a `UserError` if a set's description is damaged or of another format."""
  file = os.path.join(path, _INFO)
  try:
    with open_regular(file) as content:
      info = json.loads(content.read())
  except (ValueError, RecursionError) as error:
    what = 'is empty' if not os.path.getsize(file) else f'is not JSON ({_in_one_line(error)})'
    raise _damaged(name, path, what, _INFO) from error
  except OSError as error:
    raise UserError(f'data set {name}: {file}: {error.strerror}') from error
  if not isinstance(info, dict) or not isinstance(info.get('splits'), list):
    raise _damaged(name, path, 'does not describe a data set', _INFO)
  for key, wanted in (('name', name), ('version', os.path.basename(path))):
    if info.get(key) != wanted:
      raise _damaged(name, path, f'has the {key} {info.get(key)!r}, not {wanted}', _INFO)
  file_format = info.get('fileFormat') or 'tfrecord'
  if 'array_record' not in (file_format, *_strings(info.get('alternativeFileFormats'))):
    raise UserError(
        f'data set {name}: {path} was prepared as {file_format}; allowed: array_record, for which '
        f'remove this folder, or name another by data_dir, and prepare the set: '
        f'{_prepare(name)}',
        mentions=('data_dir',),
    )


def _strings(value: Any) -> list[str]:
  return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _damaged(name: str, path: str, what: str, file: str = '') -> UserError:
  return UserError(
      f'data set {name}: {os.path.join(path, file) if file else path} {what}; remove the folder '
      f'{path} and prepare the set anew: {_prepare(name)}'
  )


def _prepare(name: str) -> str:
  return f'python -m experiments.prepare {name}'


def _in_one_line(error: Exception) -> str:
  return ' '.join(str(error).split()) or type(error).__name__


def read(name: str, folder: str) -> Dataset | None:
  """Read a prepared set; None where there is none. Nothing is downloaded.

  Args:
    name: one of `NAMES`.
    folder: TFDS's data folder.

  Raises:
    UserError: if its files are damaged, or of another version or format.
  """
  if not is_prepared(name, folder):
    return None
  import tensorflow_datasets as tfds  # noqa: PLC0415

  with _Quiet():
    builder = tfds.builder(name, data_dir=folder)
    try:
      train, test = (_read_split(builder, split) for split in ('train', 'test'))
    except Exception as error:  # array_record and the decoders raise what they like
      path = str(builder.data_path)
      raise _damaged(name, path, f'cannot be read: {_in_one_line(error)}') from error
  return Dataset(name, *train, *test, tuple(builder.info.features['label'].names))


def _read_split(builder, split: str) -> tuple[np.ndarray, np.ndarray]:
  source = builder.as_data_source(split=split)
  count = len(source)
  images = np.empty((count, *builder.info.features['image'].shape), np.uint8)
  labels = np.empty(count, np.int32)

  def decode(start: int) -> None:
    chunk = range(start, min(start + _CHUNK, count))
    for index, example in zip(chunk, source.__getitems__(chunk), strict=True):
      images[index], labels[index] = example['image'], example['label']

  with concurrent.futures.ThreadPoolExecutor() as pool:  # Decoding releases the GIL.
    list(pool.map(decode, range(0, count, _CHUNK)))
  return images, labels


class _Quiet:
  """Keeps TFDS's advice on optional packages off the terminal."""

  def __enter__(self):
    self._level = logging.getLogger('absl').level
    logging.getLogger('absl').setLevel(logging.ERROR)

  def __exit__(self, *unused):
    logging.getLogger('absl').setLevel(self._level)
