"""A checksum of a data set: the same labels, images and order give the same one."""

import hashlib
import json

import numpy as np

from multiscale_inversion.data.dataset import Dataset


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
