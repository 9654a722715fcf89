"""What a data set is, and the sets by name."""

import functools
import glob
import inspect
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from multiscale_inversion.data.sources import image_folder, svhn_mat, tfds_source
from multiscale_inversion.data.sources.images import Skipped
from multiscale_inversion.errors import UserError, check_options
from multiscale_inversion.registry import Registry

DIGITS_TRAIN = 1297


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


def _digits(data_dir: str | None) -> Dataset:
  """scikit-learn's digits: 1,797 images of 8x8 pixels with 17 grey levels, embedded in it.

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
  """A set that TFDS has prepared in its data folder."""

  def load_prepared(data_dir: str | None) -> Dataset:
    folder = data_folder(data_dir)
    arrays = tfds_source.read(name, folder)
    if arrays is None and name == svhn_mat.NAME:
      arrays = svhn_mat.read(folder)
    if arrays is None:
      raise UserError(_absent(name, folder))
    return Dataset(name, *arrays)

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
        f'data.data_dir={around}'
    )
  return (
      f'data set {name}: not found in {folder} (data.data_dir, else TFDS_DATA_DIR, else '
      f'~/tensorflow_datasets); to get it: {ways}'
  )


def _around(name: str, folder: str) -> str | None:
  """The folder that holds the set, where one was given that lies in it, such as the set's own."""
  for _ in range(3):
    folder = os.path.dirname(folder)
    own = glob.escape(os.path.join(folder, name))
    if glob.glob(os.path.join(own, '*', 'dataset_info.json')) or (
        name == svhn_mat.NAME and glob.glob(os.path.join(own, '*.mat'))
    ):
      return folder
  return None


def data_folder(data_dir: str | None) -> str:
  """The folder of prepared sets: as given, else TFDS_DATA_DIR, else TFDS's own default."""
  folder = data_dir or os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'
  return os.path.abspath(os.path.expanduser(folder))


@functools.wraps(image_folder.read)  # whose options are this set's
def _from_folder(data_dir: str | None, **options) -> Dataset:
  return Dataset(image_folder.NAME, *image_folder.read(data_dir, **options))


_DATASETS: Registry[Callable[..., Dataset]] = Registry('data.name', {
    'digits': _digits,
    **{name: _from_tfds(name) for name in tfds_source.NAMES},
    image_folder.NAME: _from_folder,
})


def names() -> tuple[str, ...]:
  """The names that `load` takes."""
  return _DATASETS.names()


def register(name: str, loader: Callable[..., Dataset]) -> None:
  """Makes a data set known to `load`.

  Args:
    name: the set's.
    loader: takes the data folder (or None), and the set's options, if it has any, by name.

  Raises:
    ValueError: see `Registry.register`.
  """
  _DATASETS.register(name, loader)


def defaults(name: str) -> dict[str, Any]:
  """The options that the data set called `name` takes, with their defaults."""
  options = list(inspect.signature(_DATASETS[name]).parameters.values())[1:]
  return {option.name: option.default for option in options}


def load(name: str, data_dir: str | None = None, **options: Any) -> Dataset:
  """Loads a data set into memory.

  Args:
    name: one of `names()`.
    data_dir: folder of prepared TFDS sets; unless given, TFDS_DATA_DIR or
      ~/tensorflow_datasets. `digits` needs none; for `folder` it is that of the images, or a CSV
      file.
    **options: the set's; of those here only `folder` has any, see `image_folder.read`.

  Raises:
    UserError: for an unknown name, an option that the set does not have, a set that is absent
      (naming the folder that was looked in and how to get the set), or one that is not as `Dataset`
      says.
  """
  check_options('data', f'the data set {name}', options, defaults(name))
  return _checked(name, _DATASETS[name](data_dir, **options))


def _checked(name: str, dataset: Any) -> Dataset:
  """A data set that is what `Dataset` says, with int32 labels where they were other integers."""
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
    dataset = dataset._replace(**{f'{part}_images': images, f'{part}_labels': labels})
  if dataset.train_images.shape[1:] != dataset.test_images.shape[1:]:
    raise UserError(
        f'data set {name}: images of shape {dataset.train_images.shape[1:]} for training and '
        f'{dataset.test_images.shape[1:]} for testing; allowed: one shape'
    )
  return dataset
