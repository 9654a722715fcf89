"""Read custom images from a folder with one sub-folder for each class, or from a CSV file."""

import collections
import hashlib
import os
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np

from multiscale_inversion.data.dataset import Dataset
from multiscale_inversion.data.sources import image_table, image_tree
from multiscale_inversion.data.sources.entries import Entry, class_names
from multiscale_inversion.data.sources.images import (
  EXTENSIONS,
  MAX_MEGAPIXELS,
  Skipped,
  read_all,
)
from multiscale_inversion.errors import UserError
from multiscale_inversion.options import Range

NAME = 'folder'


def read(
    data_dir: str | None,
    image_size: Annotated[int, Range(1, 2**14)] = 32,
    channels: Literal[1, 3] | None = None,
    test_fraction: Annotated[float, Range(1e-6, 1, open_end=True)] = 0.2,
    max_megapixels: Annotated[float, Range(1e-6)] = MAX_MEGAPIXELS,
) -> Dataset:
  """Read labeled and unlabeled images of any size.

  See `image_tree.find` for folders and `image_table.find` for CSV files. If neither separates test
  images, a share of the labeled ones is held out, the same for every seed (see `_held_out`). Images
  that cannot be read are skipped.

  Args:
    data_dir: the folder, or the CSV file.
    image_size: edge in pixels of the square that each image is stretched to.
    channels: channels of the images; unless given, 1 if every image is grey all over, else 3.
    test_fraction: share of the labeled images of each class that is held out for testing.
    max_megapixels: size above which an image is skipped. Reading takes at most 12 bytes of memory
      for each pixel of the largest one, or of 16 megapixels a thread.

  Raises:
    UserError: if there is no such folder or file, its layout is another one, there are fewer than
      two classes, or a class has no image that can be read.
  """
  where = _path(data_dir)
  entries, skipped = find(where)
  names = class_names(entry.label for entry in entries)
  if len(names) < 2:
    raise UserError(
        f'{where} has one class alone ({names[0]}); allowed: at least 2, a '
        'sub-folder each, or a label each in a CSV file (-1 means none)',
        'data_dir',
    )
  size = (image_size, image_size)
  images, positions, unreadable = read_all(
      [entry.path for entry in entries], size, channels, max_megapixels
  )
  found = [entries[position] for position in positions]
  labels = np.array([-1 if e.label is None else names.index(e.label) for e in found], np.int32)
  if any(entry.is_test for entry in entries):
    is_test = np.array([entry.is_test for entry in found], bool)
  else:
    is_test = _held_out([entry.name for entry in found], labels, test_fraction)
  label_of = {entry.path: entry.label for entry in entries}
  _check_classes(where, names, labels[~is_test], [(label_of[s.path], s) for s in unreadable])
  test = _shuffled_test(where, found, is_test)
  return Dataset(
      NAME,
      images[~is_test],
      labels[~is_test],
      images[test],
      labels[test],
      names,
      (*skipped, *unreadable),
  )


def _shuffled_test(where: str, found: Sequence[Entry], is_test: np.ndarray) -> np.ndarray:
  """Return the positions of the test images, shuffled, because figures show the first ones."""
  test = sorted(map(int, np.flatnonzero(is_test)), key=lambda index: _digest(found[index].name))
  if not test:
    raise UserError(
        f'{where} leaves no image for testing; allowed: two that can be read of at '
        'least one class',
        'data_dir',
    )
  return np.array(test)


def _path(data_dir: str | None) -> str:
  if not data_dir:
    raise UserError(
        f'{NAME} needs it; allowed: a folder with a sub-folder a class, or a CSV '
        'file with the columns file and label',
        'data_dir',
    )
  return os.path.abspath(os.path.expanduser(data_dir))


def find(path: str) -> tuple[list[Entry], list[Skipped]]:
  """List the images of a folder or of a CSV file.

  Returns:
    The images, and the skipped ones.

  Raises:
    UserError: if there is no such folder or file, its layout is another one, or no image has a
      label.
  """
  if os.path.isdir(path):
    entries, skipped = image_tree.find(path)
  elif os.path.exists(path):
    entries, skipped = image_table.find(path), []
  else:
    raise UserError(f'{path}: no such folder or file', 'data_dir')
  if not any(entry.label for entry in entries):
    raise UserError(
        f'{path} has no labeled images; allowed: files that end in '
        f'{", ".join(EXTENSIONS)}, in a sub-folder a class that is not named unlabeled, or a CSV '
        'file with labels',
        'data_dir',
    )
  return entries, skipped


def _check_classes(
    where: str,
    names: tuple[str, ...],
    train_labels: np.ndarray,
    unreadable: list[tuple[str | None, Skipped]],
) -> None:
  counts = np.bincount(train_labels[train_labels >= 0], minlength=len(names))
  for name, count in zip(names, counts, strict=True):
    if not count:
      broken = [': '.join(skipped) for label, skipped in unreadable if label == name]
      reason = f' ({len(broken)} cannot be read, as {broken[0]})' if broken else ''
      raise UserError(
          f'{where}: no image of the class {name} can be used for training{reason}; '
          'allowed: at least one',
          'data_dir',
      )


def _held_out(names: Sequence[str], labels: np.ndarray, fraction: float) -> np.ndarray:
  """Choose the same share of each class for testing.

  The choice is a function of the names alone, and of no seed: of each class, the images whose names
  have the smallest SHA-256. An image more or less changes the place of few others.

  Args:
    names: of the images, different from each other.
    labels: their classes, integers from 0, shape [N]; -1 where unlabeled, which is never chosen.
    fraction: of each class, rounded; at least one image, unless it is the only one.

  Returns:
    bool, shape [N].
  """
  members = collections.defaultdict(list)
  for index, label in enumerate(labels):
    if label >= 0:
      members[int(label)].append(index)
  chosen = np.zeros(len(labels), bool)
  for indices in members.values():
    count = min(max(1, round(fraction * len(indices))), len(indices) - 1)
    chosen[sorted(indices, key=lambda index: _digest(names[index]))[:count]] = True
  return chosen


def _digest(name: str) -> bytes:
  """Return the SHA-256 of a name, which gives a fixed order unrelated to the classes."""
  return hashlib.sha256(name.encode('utf-8', 'surrogateescape')).digest()
