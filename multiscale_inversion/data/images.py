"""PNG and JPEG files as arrays of one size."""

import concurrent.futures
import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

EXTENSIONS = ('.png', '.jpg', '.jpeg')
CHANNELS = (1, 3)
_FORMATS = ('PNG', 'JPEG')
_MODES = {1: 'L', 3: 'RGB'}
# A JPEG decoded at a fraction of its size keeps at least so many times the pixels wanted.
_MARGIN = 4


class UnreadableImage(Exception):
  """Says in a few words why a file is no image that can be read."""


class Skipped(NamedTuple):
  """A file that was left out.

  Attributes:
    path: the file.
    reason: in a few words.
  """

  path: str
  reason: str


def read(path: str, size: tuple[int, int], channels: int = 3) -> np.ndarray:
  """Reads an image file.

  The picture is turned as its EXIF orientation says, laid on white where it is transparent, and
  stretched to the size wanted, whatever its proportions: nothing is cut off. 16 bits become 8,
  palettes and CMYK colors.

  Args:
    path: a PNG or JPEG file, of any size; its extension does not matter.
    size: (H, W) in pixels.
    channels: 1 for grey levels (of colors, their luminance), 3 for red, green and blue.

  Returns:
    uint8, shape [H, W, channels].

  Raises:
    UnreadableImage: if there is no such file, or it is no whole image.
  """
  height, width = size
  try:
    with Image.open(path, formats=_FORMATS) as file:
      # Whichever side is which after the EXIF turn. Where the file is no JPEG, this does nothing.
      file.draft(None, (_MARGIN * max(size), _MARGIN * max(size)))
      file.load()
      image = _upright(file)
      image = _flat(image).convert(_MODES[channels])
      if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
      return np.asarray(image).reshape(height, width, channels)
  except Exception as error:  # Pillow raises whatever a damaged file makes it stumble over
    raise UnreadableImage(_reason(error)) from error


def _upright(image: Image.Image) -> Image.Image:
  with contextlib.suppress(Exception):  # Damaged EXIF data are no reason to lose the picture.
    return ImageOps.exif_transpose(image)
  return image


def _flat(image: Image.Image) -> Image.Image:
  """Eight bits, without transparency."""
  if image.mode == 'I' or image.mode.startswith('I;16'):
    levels = np.asarray(image).astype(np.int64).clip(0, 65535)
    return Image.fromarray(np.round(levels / 257).astype(np.uint8))
  if 'A' in image.mode or 'a' in image.mode or 'transparency' in image.info:
    image = image.convert('RGBA')
    return Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image)
  return image


def _reason(error: Exception) -> str:
  if isinstance(error, FileNotFoundError):
    return 'no such file'
  if isinstance(error, UnidentifiedImageError):
    return 'not a PNG or JPEG image'
  text = getattr(error, 'strerror', None) or str(error) or type(error).__name__
  return ' '.join(text.split())


def read_all(
    paths: Sequence[str], size: tuple[int, int], channels: int | None = None
) -> tuple[np.ndarray, np.ndarray, list[Skipped]]:
  """Reads many files, several at a time.

  Args:
    paths: the files.
    size: (H, W) in pixels.
    channels: 1 or 3; unless given, 1 if every image that can be read is grey all over, else 3.

  Returns:
    The images that can be read, uint8, shape [N, H, W, C], in the order of the paths; the positions
    of their paths, shape [N]; and what cannot be read.
  """
  images = np.empty((len(paths), *size, channels or 3), np.uint8)

  def decode(index: int) -> str | None:
    try:
      images[index] = read(paths[index], size, channels or 3)
    except UnreadableImage as error:
      return str(error)
    return None

  pool = concurrent.futures.ThreadPoolExecutor()  # Decoding and resizing release the GIL.
  try:
    reasons = list(pool.map(decode, range(len(paths))))
  finally:
    pool.shutdown(cancel_futures=True)
  readable = np.array([reason is None for reason in reasons], bool)
  skipped = [Skipped(p, reason) for p, reason in zip(paths, reasons, strict=True) if reason]
  if skipped:
    images = images[readable]
  if channels is None and _is_grey(images):
    images = np.ascontiguousarray(images[..., :1])
  return images, np.flatnonzero(readable), skipped


def _is_grey(images: np.ndarray) -> bool:
  return all(np.array_equal(images[..., 0], images[..., other]) for other in (1, 2))
