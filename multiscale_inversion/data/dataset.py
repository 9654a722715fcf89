"""A classification data set in memory."""

import hashlib
import json
from typing import Any, NamedTuple

import numpy as np

from multiscale_inversion.data.sources.images import Skipped
from multiscale_inversion.errors import UserError


class Dataset(NamedTuple):
  """A whole classification data set in memory.

  Attributes:
    name: as `load` takes it.
    train_images, test_images: uint8, shape [N, H, W, C].
    train_labels, test_labels: int32, shape [N], from 0 to len(class_names) - 1; in training -1
      where unlabeled.
    class_names: a name for each class.
    skipped: files that were left out, as images that cannot be read.
  """

  name: str
  train_images: np.ndarray
  train_labels: np.ndarray
  test_images: np.ndarray
  test_labels: np.ndarray
  class_names: tuple[str, ...]
  skipped: tuple[Skipped, ...] = ()


def check(name: str, dataset: Any) -> Dataset:
  """Check a data set against `Dataset`, and return it with int32 labels.

  Args:
    name: the data set's, for the error.
    dataset: what its loader returned.

  Raises:
    UserError: for an array of another type or shape, a label out of range, or too few classes.
  """
  if not isinstance(dataset, Dataset):
    raise UserError(f'data set {name}: a {type(dataset).__name__}; allowed: a data.Dataset')
  if len(dataset.class_names) < 2:
    raise UserError(f'data set {name}: {len(dataset.class_names)} class names; allowed: at least 2')
  for part in ('train', 'test'):
    images, labels = (
        np.asarray(getattr(dataset, f'{part}_{what}')) for what in ('images', 'labels')
    )
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
      raise UserError(
          f'data set {name}: {part}_images of {images.dtype} and shape {images.shape}; allowed: '
          'uint8, [N, H, W, C], at least one'
      )
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (len(images),):
      raise UserError(
          f'data set {name}: {part}_labels of {labels.dtype} and shape {labels.shape}; allowed: '
          f'int32, [{len(images)}]'
      )
    least, most = -1 if part == 'train' else 0, len(dataset.class_names) - 1
    if labels.min() < least or labels.max() > most:
      raise UserError(
          f'data set {name}: {part}_labels from {labels.min()} to {labels.max()}; allowed: {least} '
          f'to {most}, for {most + 1} class names'
      )
    labels = labels.astype(np.int32, copy=False)
    arrays: dict[str, Any] = {f'{part}_images': images, f'{part}_labels': labels}
    dataset = dataset._replace(**arrays)
  if dataset.train_images.shape[1:] != dataset.test_images.shape[1:]:
    raise UserError(
        f'data set {name}: images of shape {dataset.train_images.shape[1:]} for training and '
        f'{dataset.test_images.shape[1:]} for testing; allowed: one shape'
    )
  return dataset


def checksum(dataset: Dataset) -> str:
  """Return the SHA-256 of all images and labels in their order, and of the class names."""
  digest = hashlib.sha256(json.dumps(dataset.class_names).encode())
  for values in (
      dataset.train_images,
      dataset.train_labels,
      dataset.test_images,
      dataset.test_labels,
  ):
    digest.update(f'{values.dtype.str} {values.shape}'.encode())
    digest.update(np.ascontiguousarray(values).data)
  return digest.hexdigest()
