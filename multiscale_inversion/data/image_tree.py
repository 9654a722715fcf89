"""A folder of images with a sub-folder a class."""

import os

from multiscale_inversion.data.entries import Entry, is_hidden, is_unlabeled
from multiscale_inversion.data.images import EXTENSIONS, Skipped
from multiscale_inversion.errors import UserError

_PARTS = ('train', 'test')
# What other tools call a part of a data set.
_OTHER_PARTS = ('val', 'valid', 'validation', 'dev', 'eval')
# Images that are not read; other files, notes for one, are nobody's loss.
_OTHER_IMAGES = ('.webp', '.bmp', '.gif', '.tif', '.tiff', '.heic', '.avif', '.jfif')


def find(folder: str) -> tuple[list[Entry], list[Skipped]]:
  """Lists the images of a folder, in the order of their names.

  The folder has a sub-folder a class and, for images without a label, one named `unlabeled`; or it
  has `train` and `test`, each with these (`unlabeled` in `train`, or beside them). Images may lie
  in deeper folders. Hidden files and files that are neither .png, .jpg nor .jpeg do not count.

  Returns:
    The images, and those that no class and no part takes: beside the sub-folders, unlabeled for
    testing, or of another format.

  Raises:
    UserError: if a class has no image, `train` and `test` do not have the same classes, or there is
      `train` with a part that is not `test`.
  """
  names = _subfolders(folder)
  parts = {name.lower(): name for name in names if name.lower() in _PARTS}
  if len(parts) < len(_PARTS):
    _check_parts(folder, names)
    return _part(folder, '', names)
  others = [name for name in names if name.lower() not in _PARTS and not is_unlabeled(name)]
  if others:
    raise UserError(
        f'data.data_dir: {folder} has beside train and test the sub-folder {others[0]}; '
        'allowed: unlabeled alone'
    )
  entries, skipped = _part(folder, '', [name for name in names if is_unlabeled(name)])
  for part in map(parts.get, _PARTS):
    found, left_out = _part(folder, part, _subfolders(os.path.join(folder, part)))
    entries, skipped = entries + found, skipped + left_out
  train, test = ({e.label for e in entries if e.is_test == is_test} for is_test in (False, True))
  for label in sorted(test - train - {None}):
    raise UserError(
        f'data.data_dir: {os.path.join(folder, "test", label)}: a class without images in train'
    )
  return entries, skipped


def _check_parts(folder: str, names: list[str]) -> None:
  """Raises a `UserError` where sub-folders look like the parts of a data set, not like classes."""
  lower = [name.lower() for name in names if not is_unlabeled(name)]
  if 'train' in lower and (len(lower) == 1 or {*lower} & {*_OTHER_PARTS}):
    listed = ', '.join(name for name in names if not is_unlabeled(name))
    raise UserError(
        f'data.data_dir: {folder} has the sub-folders {listed}; allowed: train and test, each with '
        'a sub-folder a class, or a sub-folder a class'
    )


def _part(folder: str, part: str, labels: list[str]) -> tuple[list[Entry], list[Skipped]]:
  """Lists the images of classes that lie in one folder."""
  root = os.path.join(folder, part) if part else folder
  is_test = part.lower() == 'test'
  entries, skipped = [], []
  for file in sorted(os.listdir(root)):
    if _is_image(file) and os.path.isfile(os.path.join(root, file)):
      skipped.append(Skipped(os.path.join(root, file), 'in no sub-folder, so of no class'))
  for label in labels:
    paths, others = _images(os.path.join(root, label))
    skipped += [Skipped(path, f'allowed: {", ".join(EXTENSIONS)}') for path in others]
    unlabeled = is_unlabeled(label)
    if not paths and not unlabeled:
      raise UserError(
          f'data.data_dir: {os.path.join(root, label)}: a class without images; allowed: at least '
          f'one file that ends in {", ".join(EXTENSIONS)}'
      )
    if unlabeled and is_test:
      skipped += [Skipped(path, 'unlabeled, so of no use for testing') for path in paths]
      continue
    for path in paths:
      name = os.path.relpath(path, folder).replace(os.sep, '/')
      entries.append(Entry(path, name, None if unlabeled else label, is_test))
  return entries, skipped


def _subfolders(folder: str) -> list[str]:
  names = sorted(os.listdir(folder))
  return [n for n in names if not is_hidden(n) and os.path.isdir(os.path.join(folder, n))]


def _images(folder: str) -> tuple[list[str], list[str]]:
  """The images of a folder and of the folders in it, and those of formats that are not read."""
  paths, others = [], []
  for root, folders, files in os.walk(folder):
    folders[:] = sorted(name for name in folders if not is_hidden(name))
    paths += [os.path.join(root, file) for file in sorted(files) if _is_image(file)]
    others += [os.path.join(root, file) for file in sorted(files) if _is_image(file, _OTHER_IMAGES)]
  return paths, others


def _is_image(file: str, extensions: tuple[str, ...] = EXTENSIONS) -> bool:
  return file.lower().endswith(extensions) and not is_hidden(file)
