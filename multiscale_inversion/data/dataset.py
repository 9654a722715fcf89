"""A classification data set in memory: images, sequences or features."""

import hashlib
import json
from typing import Any, NamedTuple

import numpy as np

from multiscale_inversion.data.sources.images import Skipped
from multiscale_inversion.errors import UserError

_AXES = (2, 3, 4)  # with that of the observations


class Dataset(NamedTuple):
  """A whole classification data set in memory.

  Attributes:
    name: as `load` takes it.
    train_images: uint8 or float32; images of shape [N, H, W, C], sequences of shape
      [N, time, features] or observations of shape [N, features].
    train_labels: int32, shape [N], from 0 to len(class_names) - 1, or -1 where unlabeled.
    test_images: as `train_images`; there may be none.
    test_labels: as `train_labels`, without -1.
    class_names: a name for each class.
    skipped: files that were left out, as images that cannot be read.
    validation_images: as `test_images`.
    validation_labels: as `test_labels`.
  """

  name: str
  train_images: np.ndarray
  train_labels: np.ndarray
  test_images: np.ndarray
  test_labels: np.ndarray
  class_names: tuple[str, ...]
  skipped: tuple[Skipped, ...] = ()
  validation_images: np.ndarray = np.zeros((0,), np.uint8)
  validation_labels: np.ndarray = np.zeros((0,), np.int32)


def check(name: str, dataset: Any) -> Dataset:
  """Check a data set against `Dataset`, and return it with int32 labels and no other floats.

  Args:
    name: the data set's, for the error.
    dataset: what its loader returned.

  Raises:
    UserError: for an array of another type or shape, a value that is not finite, a label out of
      range, or too few classes.
  """
  if not isinstance(dataset, Dataset):
    raise UserError(f'data set {name}: a {type(dataset).__name__}; allowed: a data.Dataset')
  if len(dataset.class_names) < 2:
    raise UserError(f'data set {name}: {len(dataset.class_names)} class names; allowed: at least 2')
  if not len(dataset.validation_images):  # of whatever shape
    dataset = dataset._replace(validation_images=dataset.train_images[:0])
  for part in ('train', 'test', 'validation'):
    what = f'data set {name}: {part}'
    images = _checked_images(getattr(dataset, f'{part}_images'), what, part == 'train')
    labels = _checked_labels(
        getattr(dataset, f'{part}_labels'),
        what,
        len(images),
        -1 if part == 'train' else 0,
        len(dataset.class_names) - 1,
    )
    arrays: dict[str, Any] = {f'{part}_images': images, f'{part}_labels': labels}
    dataset = dataset._replace(**arrays)
  shape = dataset.train_images.shape[1:]
  for images, purpose in (
      (dataset.test_images, 'testing'),
      (dataset.validation_images, 'validation'),
  ):
    if images.shape[1:] != shape:
      raise UserError(
          f'data set {name}: images of shape {shape} for training and {images.shape[1:]} for '
          f'{purpose}; allowed: one shape'
      )
  return dataset


def _checked_images(images: Any, what: str, needed: bool) -> np.ndarray:
  images = np.asarray(images)
  floats = np.issubdtype(images.dtype, np.floating)
  if not (floats or images.dtype == np.uint8) or images.ndim not in _AXES:
    raise UserError(
        f'{what}_images of {images.dtype} and shape {images.shape}; allowed: uint8 or '
        'floating-point numbers, [N, H, W, C], [N, time, features] or [N, features]'
    )
  if 0 in images.shape[0 if needed else 1 :]:
    raise UserError(f'{what}_images of shape {images.shape}; allowed: at least one along each axis')
  if not floats:
    return images
  with np.errstate(over='ignore'):  # Such numbers become infinite, and are named below.
    images = images.astype(np.float32, copy=False)
  for index, image in enumerate(images):
    if not np.isfinite(image).all():
      raise UserError(
          f'{what}_images: number {index} holds NaN, infinity or a number beyond float32; allowed: '
          'finite numbers'
      )
  return images


def _checked_labels(labels: Any, what: str, count: int, least: int, most: int) -> np.ndarray:
  labels = np.asarray(labels)
  if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (count,):
    raise UserError(
        f'{what}_labels of {labels.dtype} and shape {labels.shape}; allowed: int32, [{count}]'
    )
  if count and (labels.min() < least or labels.max() > most):
    raise UserError(
        f'{what}_labels from {labels.min()} to {labels.max()}; allowed: {least} to {most}, for '
        f'{most + 1} class names'
    )
  return labels.astype(np.int32, copy=False)


def checksum(dataset: Dataset) -> str:
  """Return the SHA-256 of all images and labels in their order, and of the class names.

  A data set without a validation part has the digest that it had before there were such parts.
  """
  digest = hashlib.sha256(json.dumps(dataset.class_names).encode())
  arrays = [
      dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels
  ]
  if len(dataset.validation_labels):
    arrays += [dataset.validation_images, dataset.validation_labels]
  for values in arrays:
    digest.update(f'{values.dtype.str} {values.shape}'.encode())
    digest.update(np.ascontiguousarray(values).data)
  return digest.hexdigest()
