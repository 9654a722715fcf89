"""Which labeled images test, where nothing says it."""

import collections
import hashlib
from collections.abc import Sequence

import numpy as np


def held_out(names: Sequence[str], labels: np.ndarray, fraction: float) -> np.ndarray:
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
    chosen[sorted(indices, key=lambda index: digest(names[index]))[:count]] = True
  return chosen


def digest(name: str) -> bytes:
  """Return the SHA-256 of a name, which gives a fixed order unrelated to the classes."""
  return hashlib.sha256(name.encode('utf-8', 'surrogateescape')).digest()
