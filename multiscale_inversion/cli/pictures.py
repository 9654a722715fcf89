"""Pictures of images beside their reconstructions, written as PNG files."""

import io
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from multiscale_inversion import files
from multiscale_inversion.text import UniqueNames

_SHOWN_EDGE = 256  # pixels at least, in the pictures written
_GAP = 8
_LONGEST_NAME = 255  # bytes


class Pictures:
  """A folder of pictures, each with its image's name, numbered if it occurs again.

  Args:
    folder: an existing folder.
    longest: the most bytes that a file's name may have; what the file system allows if None.
  """

  def __init__(self, folder: str, longest: int | None = None):
    self.folder = folder
    self._names = UniqueNames('.png', longest=longest or _longest_name(folder))

  def path_for(self, path: str) -> str:
    """Return where an image's picture goes; each call takes another name."""
    stem = os.path.splitext(os.path.basename(path))[0]
    return os.path.join(self.folder, self._names.take(stem))

  def write(
      self, paths: Sequence[str], images: np.ndarray, reconstructions: np.ndarray
  ) -> None:
    """Write the pictures of some images.

    Args:
      paths: the files of the images.
      images: uint8, shape [N, H, W, C].
      reconstructions: r^(0), same shape.

    Raises:
      UserError: if a file cannot be written.
      StorageError: if the disk is full.
    """
    for path, image, reconstruction in zip(paths, images, reconstructions, strict=True):
      save(beside(image, reconstruction), self.path_for(path))


def _longest_name(folder: str) -> int:
  """Return the most bytes that the name of a file in a folder may have."""
  try:
    return min(os.pathconf(folder, 'PC_NAME_MAX'), _LONGEST_NAME)
  except (OSError, ValueError):
    return _LONGEST_NAME


def save(picture: Image.Image, path: str) -> None:
  """Write a PNG file; replace a link with its name, not the file to which the link leads."""
  content = io.BytesIO()
  picture.save(content, format='PNG')
  files.write_bytes(path, content.getvalue(), follow=False)


def beside(image: np.ndarray, reconstruction: np.ndarray) -> Image.Image:
  """Return a picture of an image and, to its right, its reconstruction, both enlarged.

  Args:
    image: uint8, shape [H, W, C].
    reconstruction: r^(0), in the range of the normalized image, same shape. The normalization of
      the image is undone; values beyond black or white become black or white.
  """
  x = image.astype(np.float64)
  mean = x.mean()
  shown = mean + reconstruction * np.abs(x - mean).max()
  pair = [image, np.round(shown.clip(0, 255)).astype(np.uint8)]
  factor = -(-_SHOWN_EDGE // max(image.shape[:2]))
  left, right = (part.repeat(factor, 0).repeat(factor, 1) for part in pair)
  gap = np.full((left.shape[0], _GAP, left.shape[2]), 255, np.uint8)
  pixels = np.concatenate([left, gap, right], 1)
  return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
