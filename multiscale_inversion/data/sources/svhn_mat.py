"""SVHN in its authors' own format: two MATLAB files of cropped digits."""

import os

import numpy as np

from multiscale_inversion.data.dataset import Dataset
from multiscale_inversion.errors import UserError
from multiscale_inversion.regular_files import open_regular

NAME = 'svhn_cropped'
FILES = ('train_32x32.mat', 'test_32x32.mat')
HOMEPAGE = 'http://ufldl.stanford.edu/housenumbers'


def read(folder: str) -> Dataset | None:
  """Read FILES from the folder `svhn_cropped` in `folder`; None where neither is there.

  Raises:
    UserError: if one of the files is missing, or one is not in SVHN's format.
  """
  paths = [os.path.join(folder, NAME, file) for file in FILES]
  present = [os.path.exists(path) for path in paths]
  if not any(present):
    return None
  if not all(present):
    raise UserError(f'data set {NAME}: {paths[present.index(False)]} is missing beside the other')
  class_names = tuple(map(str, range(10)))
  return Dataset(NAME, *_read_file(paths[0]), *_read_file(paths[1]), class_names)


def _read_file(path: str) -> tuple[np.ndarray, np.ndarray]:
  from scipy.io import loadmat  # noqa: PLC0415

  try:
    file = open_regular(path)
  except OSError as error:
    raise UserError(f'data set {NAME}: {path}: {error.strerror}') from error
  try:
    with file:
      content = loadmat(file)
    images, labels = np.asarray(content['X']), np.asarray(content['y']).reshape(-1)
    if labels.dtype.kind not in 'iuf':
      raise TypeError(f'labels of {labels.dtype}')
  except Exception as error:  # scipy raises whatever a damaged file makes it stumble over
    what = ' '.join(str(error).split())
    raise UserError(f'data set {NAME}: {path} is not in the format of SVHN: {what}') from error
  if images.ndim != 4 or images.shape[:3] != (32, 32, 3) or images.shape[3] != len(labels):
    raise UserError(
        f'data set {NAME}: {path} holds X of shape {images.shape} and {len(labels)} labels; '
        'allowed: X [32, 32, 3, N] and N labels'
    )
  if images.dtype != np.uint8 or not np.isin(labels, np.arange(1, 11)).all():
    raise UserError(
        f'data set {NAME}: {path} holds pixels of {images.dtype} and labels from {labels.min()} to '
        f'{labels.max()}; allowed: uint8, and 1 to 10'
    )
  # The files put the observations last, and call the digit zero 10.
  return (
      np.ascontiguousarray(images.transpose(3, 0, 1, 2)),
      np.where(labels == 10, 0, labels).astype(np.int32),
  )
