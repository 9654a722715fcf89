"""Sets that TensorFlow Datasets has prepared as array_record files, read without TensorFlow."""

import concurrent.futures
import logging
import os

import numpy as np

from multiscale_inversion.errors import UserError

NAMES = ('mnist', 'fashion_mnist', 'cifar10', 'svhn_cropped')
_CHUNK = 2000

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]


def is_prepared(name: str, folder: str) -> bool:
  """Whether TFDS's data folder holds the set, prepared. Nothing is downloaded."""
  if not os.path.isdir(os.path.join(folder, name)):
    return False  # Before the import, which takes a while.
  import tensorflow_datasets as tfds  # noqa: PLC0415

  with _Quiet():
    return tfds.builder(name, data_dir=folder).is_prepared()


def read(name: str, folder: str) -> Arrays | None:
  """Reads a prepared set; None where there is none. Nothing is downloaded.

  Args:
    name: one of `NAMES`.
    folder: TFDS's data folder.

  Returns:
    Training images (uint8, [N, H, W, C]) and labels (int32, [N]), those for testing, class names.

  Raises:
    UserError: if its files are damaged.
  """
  if not is_prepared(name, folder):
    return None
  import tensorflow_datasets as tfds  # noqa: PLC0415

  with _Quiet():
    builder = tfds.builder(name, data_dir=folder)
    try:
      train, test = (_read_split(builder, split) for split in ('train', 'test'))
    except Exception as error:  # array_record and the decoders raise what they like
      raise UserError(
          f'data set {name}: {builder.data_path} cannot be read: {error}; remove the folder and '
          f'prepare the set anew: python -m experiments.prepare {name}'
      ) from error
  return (*train, *test, tuple(builder.info.features['label'].names))


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
