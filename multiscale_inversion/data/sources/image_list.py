"""List image files by their paths and by the folders that hold them."""

import os
from collections.abc import Iterable, Iterator

from multiscale_inversion.data.sources.entries import is_hidden
from multiscale_inversion.data.sources.images import EXTENSIONS
from multiscale_inversion.errors import UserError

Path = str | os.PathLike[str]


def find(given: Path | Iterable[Path]) -> Iterator[str]:
  """Yield files as they are given, and for a folder the images in it and in its sub-folders.

  Of a folder, files that end in .png, .jpg or .jpeg count, in the order of their names, but for
  those of systems (see `entries.is_hidden`). Links to folders are not followed.

  Raises:
    UserError: for a folder without images.
  """
  paths = [given] if isinstance(given, str | os.PathLike) else given
  for path in (os.fspath(one) for one in paths):
    if not os.path.isdir(path):
      yield path
      continue
    found = False
    for image in _inside(path):
      found = True
      yield image
    if not found:
      raise UserError(f'{path}: no image; allowed: files that end in {", ".join(EXTENSIONS)}')


def _inside(folder: str) -> Iterator[str]:
  for where, folders, names in os.walk(folder):
    folders[:] = sorted(name for name in folders if not is_hidden(name))
    for name in sorted(names):
      if name.lower().endswith(EXTENSIONS) and not is_hidden(name):
        yield os.path.join(where, name)
