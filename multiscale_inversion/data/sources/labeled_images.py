"""Read images and their classes to measure a network whose classes are known."""

import os
from collections.abc import Sequence

import numpy as np

from multiscale_inversion.data.sources import image_folder, images
from multiscale_inversion.errors import UserError


def read(
    path: str | os.PathLike[str], class_names: Sequence[str], size: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray, list[images.Skipped]]:
  """Read the images that have a label; where some are for testing, these alone.

  Args:
    path: a folder with a sub-folder for each class, or a CSV file, see `image_folder.find`.
    class_names: the classes; labels are positions in them.
    size: (H, W, C) to which the images are brought.

  Returns:
    uint8 images, shape [N, H, W, C]; int64 labels, shape [N]; and the skipped images.

  Raises:
    UserError: if there is no such folder or file, a label is none of the classes, or no image with
      a label can be read.
  """
  entries, skipped = image_folder.find(os.path.expanduser(os.fspath(path)))
  known = {name: index for index, name in enumerate(class_names)}
  tested = [entry for entry in entries if entry.is_test] or entries
  tested = [entry for entry in tested if entry.label is not None]
  for entry in tested:
    if entry.label not in known:
      raise UserError(f'{entry.path}: of class {entry.label}; allowed: {", ".join(class_names)}')
  height, width, channels = size
  found, positions, unreadable = images.read_all(
      [entry.path for entry in tested], (height, width), channels
  )
  if not len(found):
    raise UserError(f'{path}: no image that has a label and can be read; allowed: at least one')
  labels = np.array([known[tested[index].label or ''] for index in positions])
  return found, labels, [*skipped, *unreadable]
