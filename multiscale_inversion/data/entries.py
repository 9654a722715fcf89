"""Image files with their labels, as a folder or a table lists them, before any is read."""

import os
from collections.abc import Iterable
from typing import NamedTuple

UNLABELED = ('unlabeled', 'unlabelled')


class Entry(NamedTuple):
  """An image file and what is known of it.

  Attributes:
    path: the file.
    name: what it is called in the folder or the table, the same on each machine.
    label: the name of its class; None if it has none.
    is_test: whether it belongs to the test set.
  """

  path: str
  name: str
  label: str | None
  is_test: bool = False


def is_unlabeled(label: str) -> bool:
  """Whether a folder or a cell of this name says that there is no label."""
  return label.lower() in UNLABELED


def is_hidden(name: str) -> bool:
  """Whether a file or folder is none of the user's own, as `.DS_Store`, `._1.jpg`, `__MACOSX`."""
  return os.path.basename(name).startswith('.') or os.path.basename(name) == '__MACOSX'


def class_names(labels: Iterable[str | None]) -> tuple[str, ...]:
  """The classes, in alphabetical order; where all are whole numbers, in theirs."""
  names = sorted({label for label in labels if label is not None})
  return tuple(sorted(names, key=int) if all(map(str.isdecimal, names)) else names)
