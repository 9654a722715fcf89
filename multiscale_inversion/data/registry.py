"""The data sets by name."""

import glob
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from multiscale_inversion.data.dataset import Dataset, check
from multiscale_inversion.data.sources import image_folder, svhn_mat, tfds_source
from multiscale_inversion.errors import UserError
from multiscale_inversion.registry import Registry

DIGITS_TRAIN = 1297
ARRAYS = 'arrays'  # the name of a data set that was given from Python


def _digits(data_dir: str | None) -> Dataset:
  """Return scikit-learn's digits, 1,797 images of 8x8 pixels with 17 grey levels.

  They come in one piece: a permutation of our own, always the same, makes the first 1,297 the
  training set and the other 500 the test set.
  """
  del data_dir
  from sklearn.datasets import load_digits  # noqa: PLC0415 (slow; only this set needs it)

  digits = load_digits()
  # RandomState's stream is frozen by NumPy's compatibility policy; Generator's is not.
  order = np.random.RandomState(0).permutation(len(digits.target))
  images = digits.images.astype(np.uint8)[order, :, :, None]
  labels = digits.target.astype(np.int32)[order]
  return Dataset(
      'digits',
      images[:DIGITS_TRAIN],
      labels[:DIGITS_TRAIN],
      images[DIGITS_TRAIN:],
      labels[DIGITS_TRAIN:],
      tuple(map(str, digits.target_names)),
  )


def _from_tfds(name: str) -> Callable[[str | None], Dataset]:
  """Return the loader of a set that TFDS has prepared in its data folder."""

  def load_prepared(data_dir: str | None) -> Dataset:
    folder = data_folder(data_dir)
    dataset = tfds_source.read(name, folder)
    if dataset is None and name == svhn_mat.NAME:
      dataset = svhn_mat.read(folder)
    if dataset is None:
      raise UserError(_absent(name, folder), mentions=('data_dir',))
    return dataset

  return load_prepared


def _absent(name: str, folder: str) -> str:
  ways = f'pip install "multiscale_inversion[prepare]" && python -m experiments.prepare {name}'
  if name == svhn_mat.NAME:
    mat = os.path.join(folder, name)
    ways += f', or put {" and ".join(svhn_mat.FILES)} (from {svhn_mat.HOMEPAGE}) into {mat}'
  around = _around(name, folder)
  if around:
    return (
        f'data set {name}: not found in {folder}; allowed: the folder that holds {name}, '
        f'data_dir={around}'
    )
  return (
      f'data set {name}: not found in {folder} (data_dir, else TFDS_DATA_DIR, else '
      f'~/tensorflow_datasets); to get it: {ways}'
  )


def _around(name: str, folder: str) -> str | None:
  """Return the folder that holds the set, if the folder given lies inside it."""
  for _ in range(3):
    folder = os.path.dirname(folder)
    own = glob.escape(os.path.join(folder, name))
    if glob.glob(os.path.join(own, '*', 'dataset_info.json')) or (
        name == svhn_mat.NAME and glob.glob(os.path.join(own, '*.mat'))
    ):
      return folder
  return None


def data_folder(data_dir: str | None) -> str:
  """Return the folder of prepared sets: as given, else TFDS_DATA_DIR, else TFDS's default."""
  folder = data_dir or os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'
  return os.path.abspath(os.path.expanduser(folder))


def _arrays(data_dir: str | None) -> Dataset:
  """Refuse: such a data set is given to a run from Python, not read."""
  del data_dir
  raise UserError('arrays: not read from files, but given to multiscale_inversion.fit', 'name')


_DATASETS: Registry[Dataset] = Registry(
    {
        'digits': _digits,
        **{name: _from_tfds(name) for name in tfds_source.NAMES},
        image_folder.NAME: image_folder.read,
        ARRAYS: _arrays,
    },
    positional=1,  # the data folder
    kind='the data set',
    # What the configuration's section `data` holds beside a set's own options.
    reserved=(
        'name', 'data_dir', 'note', 'num_labeled', 'labels_per_class', 'proportions',
        'num_validation', 'unlabeled', 'corruption', 'corruption_level', 'placement',
    ),
)

names, register = _DATASETS.names, _DATASETS.register
options, defaults = _DATASETS.options, _DATASETS.defaults


def load(name: str, data_dir: str | None = None, **options: Any) -> Dataset:
  """Load a data set into memory.

  Args:
    name: one of `names()`.
    data_dir: folder of prepared TFDS sets; unless given, TFDS_DATA_DIR or ~/tensorflow_datasets.
      `digits` needs none; for `folder` it is that of the images, or a CSV file.
    **options: of `options(name)`; of the library's own sets only `folder` has any, see
      `image_folder.read`.

  Raises:
    UserError: for an unknown name, an option that the set does not have, a value out of range, a
      set that is absent (naming the folder that was looked in and how to get the set), or one that
      is not as `Dataset` says.
  """
  return check(name, _DATASETS.create(name, data_dir, **options))
