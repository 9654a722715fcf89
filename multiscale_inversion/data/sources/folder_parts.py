"""Decide which sub-folders are parts of a data set and which are classes."""

import os

from multiscale_inversion.data.sources.entries import (
  OTHER,
  TEST,
  TRAIN,
  is_hidden,
  is_unlabeled,
  part_of,
)
from multiscale_inversion.errors import UserError

_PLAIN = {TRAIN, TEST}


def names_in(folder: str) -> list[str]:
  """Return the sorted names in a folder, without those that systems put there.

  Raises:
    UserError: if it cannot be listed.
  """
  try:
    return sorted(name for name in os.listdir(folder) if not is_hidden(name))
  except OSError as error:
    raise UserError(f'{folder} cannot be listed: {error.strerror}', 'data_dir') from error


def find(folder: str, names: list[str]) -> dict[str, str] | None:
  """Tell which of a folder's sub-folders hold the training and the test set.

  `part_of` lists the names that count. The answer is certain if exactly one sub-folder is named for
  training and one for testing, and either both contain sub-folders and no images, or they are
  called `train` and `test`.

  Args:
    folder: the folder of the whole data set.
    names: names of its sub-folders, without those for unlabeled images.

  Returns:
    The paths of TRAIN and TEST relative to the folder; None if the sub-folders are classes.

  Raises:
    UserError: if the answer is not certain, or the set has further parts.
  """
  found = _named_like_parts(names)
  by_part = {part: [n for n, p in found.items() if p == part] for part in (TRAIN, TEST, OTHER)}
  if len(by_part[TRAIN]) == len(by_part[TEST]) == 1 and not by_part[OTHER]:
    parts = {part: by_part[part][0] for part in (TRAIN, TEST)}
    plain = {name.lower() for name in parts.values()} == _PLAIN
    if plain or all(_holds_classes(folder, name) for name in parts.values()):
      _check_alone(folder, names, parts)
      return {part: _innermost(folder, name, part) for part, name in parts.items()}
  several, alone = len(found) > 1, len(found) == len(names)
  doubtful = [n for n in found if several or not _has_images(os.path.join(folder, n))]
  if doubtful or (alone and by_part[TRAIN]):
    raise _question(folder, found)
  _check_classes(folder, names)
  return None


def _named_like_parts(names: list[str]) -> dict[str, str]:
  """Return the names that denote a part, each with the part.

  A name with other words, such as `seg_train`, counts only if another part has the same words.
  """
  read = {name: part_of(name) for name in names}
  parts_of_rest: dict[str, set[str]] = {}
  for part, rest in read.values():
    if part:
      parts_of_rest.setdefault(rest, set()).add(part)
  return {
      name: part for name, (part, rest) in read.items()
      if part and (not rest or len(parts_of_rest[rest]) > 1)
  }


def _holds_classes(folder: str, name: str) -> bool:
  path = os.path.join(folder, name)
  return bool(_labeled(path)) and not _has_images(path)


def _labeled(folder: str) -> list[str]:
  return [
      name for name in names_in(folder)
      if not is_unlabeled(name) and os.path.isdir(os.path.join(folder, name))
  ]


def _has_images(folder: str) -> bool:
  """Return whether images lie directly in a folder."""
  return any(
      name.lower().endswith(('.png', '.jpg', '.jpeg'))
      and not os.path.isdir(os.path.join(folder, name))
      for name in names_in(folder)
  )


def _innermost(folder: str, name: str, part: str) -> str:
  """Descend where a part holds nothing but itself, such as `seg_train/seg_train`."""
  inner = _labeled(os.path.join(folder, name))
  deeper = os.path.join(name, inner[0]) if len(inner) == 1 else ''
  if deeper and part_of(inner[0])[0] == part and _holds_classes(folder, deeper):
    return _innermost(folder, deeper, part)
  return name


def _check_alone(folder: str, names: list[str], parts: dict[str, str]) -> None:
  others = [name for name in names if name not in parts.values()]
  if others:
    raise UserError(
        f'{folder} has beside {parts[TRAIN]} and {parts[TEST]} the sub-folder '
        f'{others[0]}; allowed: unlabeled alone',
        'data_dir',
    )


def _check_classes(folder: str, names: list[str]) -> None:
  """Raise a `UserError` if a class contains folders that are named like parts."""
  for name in names:
    path = os.path.join(folder, name)
    found = _named_like_parts(_labeled(path))
    if {TRAIN, TEST} <= {*found.values()}:
      advice = f'data_dir={path}' if len(names) == 1 else 'them outside, the classes in each'
      raise UserError(
          f'{path} has the sub-folders {", ".join(found)}; allowed: {advice}',
          'data_dir',
          mentions=('data_dir',),
      )


def _question(folder: str, found: dict[str, str]) -> UserError:
  return UserError(
      f'{folder} has the sub-folders {", ".join(found)}; are they parts of the set '
      'or classes? allowed: train and test, each with a sub-folder a class, or a sub-folder a '
      'class, not named like a part: rename them, move other parts (validation) away, or list '
      'files and labels in a CSV file',
      'data_dir',
  )
