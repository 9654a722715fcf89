"""List the images of a folder that has one sub-folder for each class."""

import os
from typing import NamedTuple

from multiscale_inversion.data.sources import folder_parts
from multiscale_inversion.data.sources.entries import (
  TEST,
  TRAIN,
  Entry,
  is_unlabeled,
  reads_as_missing,
)
from multiscale_inversion.data.sources.folder_parts import names_in
from multiscale_inversion.data.sources.images import EXTENSIONS, Skipped
from multiscale_inversion.errors import UserError

# Images in other formats, which are reported; other files, such as notes, are ignored.
_OTHER_IMAGES = ('.webp', '.bmp', '.gif', '.tif', '.tiff', '.heic', '.avif', '.jfif')


def find(folder: str) -> tuple[list[Entry], list[Skipped]]:
  """List the images of a folder, in the order of their names.

  The folder has one sub-folder for each class and, for images without a label, one named
  `unlabeled` (or -1). Alternatively it has `train` and `test` (see `folder_parts.find` for other
  names), each with such sub-folders; `unlabeled` then lies in `train` or beside both. Images may
  lie in deeper folders, and links to folders are followed. Files other than .png, .jpg and .jpeg
  are ignored, and so are those of systems, see `entries.is_hidden`.

  Returns:
    The images; and the skipped ones: those beside the sub-folders, unlabeled ones for testing,
    those in another format, and those behind a link to nothing or to a folder around this one.

  Raises:
    UserError: if a class has no image, a link puts one folder into two classes, a sub-folder's name
      reads like a missing value, a class of the test set has no training images, or it is not
      certain whether sub-folders are parts of the set or classes.
  """
  names = _subfolders(folder)
  labels = [name for name in names if not is_unlabeled(name)]
  parts = folder_parts.find(folder, labels)
  tree = _Tree(folder)
  if parts is None:
    tree.add('', names)
    return tree.entries, tree.skipped
  tree.add('', [name for name in names if is_unlabeled(name)])
  for part in (TRAIN, TEST):
    tree.add(parts[part], _subfolders(os.path.join(folder, parts[part])), part == TEST)
  train, test = (
      {e.label for e in tree.entries if e.label is not None and e.is_test == is_test}
      for is_test in (False, True)
  )
  for label in sorted(test - train):
    raise UserError(
        f'{os.path.join(folder, parts[TEST], label)}: a class without images in '
        f'{parts[TRAIN]}',
        'data_dir',
    )
  return tree.entries, tree.skipped


class _Owner(NamedTuple):
  """The class (None if unlabeled) and the part that a folder's images belong to."""

  label: str | None
  is_test: bool


class _Tree:
  """Collects the images of a folder.

  Attributes:
    entries: the images found so far.
    skipped: the images left out, with reasons.
  """

  def __init__(self, folder: str):
    self.entries: list[Entry] = []
    self.skipped: list[Skipped] = []
    self._folder = folder
    self._real = os.path.realpath(folder)
    # By a folder's real path: its owner, and the path by which it was found.
    self._owners: dict[str, tuple[_Owner, str]] = {}

  def add(self, part: str, labels: list[str], is_test: bool = False) -> None:
    """Add the images of the classes in one part of the set, or in the whole folder."""
    root = os.path.join(self._folder, part) if part else self._folder
    for name in names_in(root):
      path = os.path.join(root, name)
      if _is_broken_link(path):
        self._skip(path, 'a link to nothing')
      elif _is_image(name) and not os.path.isdir(path):
        self._skip(path, 'in no sub-folder, so of no class')
    for label in labels:
      self._add_class(os.path.join(root, label), label, is_test)

  def _add_class(self, root: str, label: str, is_test: bool) -> None:
    unlabeled = is_unlabeled(label)
    if not unlabeled and reads_as_missing(label):
      raise UserError(
          f'{root}: a sub-folder called {label}; allowed: unlabeled where there is '
          'no label, else the name of a class (rename one that is called so)',
          'data_dir',
      )
    paths = self._walk(root, _Owner(None if unlabeled else label, is_test))
    if not paths and not unlabeled:
      raise UserError(
          f'{root}: a class without images; allowed: at least one file that ends in '
          f'{", ".join(EXTENSIONS)}',
          'data_dir',
      )
    for path in paths:
      if unlabeled and is_test:
        self._skip(path, 'unlabeled, so of no use for testing')
        continue
      name = os.path.relpath(path, self._folder).replace(os.sep, '/')
      self.entries.append(Entry(path, name, None if unlabeled else label, is_test))

  def _walk(self, root: str, owner: _Owner) -> list[str]:
    """List the images of a folder and of its sub-folders, each real folder once."""
    paths, others, waiting = [], [], [root]
    while waiting:
      folder = waiting.pop()
      if not self._take(folder, owner):
        continue
      inner = []
      for name in names_in(folder):
        path = os.path.join(folder, name)
        if os.path.isdir(path):
          inner.append(path)
        elif _is_image(name):
          paths.append(path)
        elif _is_image(name, _OTHER_IMAGES):
          others.append(path)
        elif _is_broken_link(path):
          self._skip(path, 'a link to nothing')
      waiting += reversed(inner)
    for path in others:
      self._skip(path, f'allowed: {", ".join(EXTENSIONS)}')
    return paths

  def _take(self, folder: str, owner: _Owner) -> bool:
    """Return whether a folder is to be read: not if it was already read by another path."""
    real = os.path.realpath(folder)
    if os.path.commonpath([real, self._real]) == real:
      self._skip(folder, 'a link to a folder around this one, not followed')
      return False
    before, path = self._owners.setdefault(real, (owner, folder))
    if before != owner:
      raise UserError(
          f'{path} and {folder} are one folder, {real}, by links; allowed: each in '
          'one class and one part',
          'data_dir',
      )
    return path == folder

  def _skip(self, path: str, reason: str) -> None:
    self.skipped.append(Skipped(path, reason))


def _subfolders(folder: str) -> list[str]:
  return [name for name in names_in(folder) if os.path.isdir(os.path.join(folder, name))]


def _is_image(name: str, extensions: tuple[str, ...] = EXTENSIONS) -> bool:
  return name.lower().endswith(extensions)


def _is_broken_link(path: str) -> bool:
  return os.path.islink(path) and not os.path.exists(path)
