"""Read PNG and JPEG files as arrays of one size."""

import concurrent.futures
import contextlib
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import ExifTags, Image, JpegImagePlugin

from multiscale_inversion.data.sources.png import SIGNATURE, Png
from multiscale_inversion.regular_files import open_regular

EXTENSIONS = ('.png', '.jpg', '.jpeg')
MAX_MEGAPIXELS = 500.0
# Images of more pixels are decoded one at a time.
_LARGE = 16_000_000
_JPEG_SIGNATURE = b'\xff\xd8\xff'
_MODES = {1: 'L', 3: 'RGB'}
# A JPEG decoded at a fraction of its size keeps at least so many times the pixels wanted.
_MARGIN = 4
# What turns a picture upright, by its EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImage(Exception):
  """A file is not a readable image; the message says why in a few words."""


class Skipped(NamedTuple):
  """A file that was left out.

  Attributes:
    path: the file.
    reason: in a few words.
  """

  path: str
  reason: str


class _Jpeg:
  """A JPEG file whose header was read, with the interface of `Png`.

  Attributes:
    size: (width, height) of the file in pixels.
    image: Pillow's image, which is decoded at a fraction of this size where that is enough.
  """

  def __init__(self, file: BinaryIO, edge: int):
    self.image = JpegImagePlugin.JpegImageFile(file)
    self.size = self.image.size
    # The EXIF orientation may exchange the sides.
    self.image.draft(None, (_MARGIN * edge, _MARGIN * edge))

  def decode(self) -> Image.Image:
    self.image.load()
    return self.image if self.image.mode in ('L', 'RGB') else self.image.convert('RGB')


def read(
    path: str, size: tuple[int, int], channels: int = 3, max_megapixels: float = MAX_MEGAPIXELS
) -> np.ndarray:
  """Read an image file.

  The picture is rotated by its EXIF orientation, laid on white where it is transparent, and
  stretched to the given size; nothing is cut off. 16 bits are reduced to 8 (see `Png.decode`);
  palettes and CMYK are converted to colors. Reading takes at most 12 bytes of memory a pixel. A
  JPEG that is not progressive is decoded at an eighth, a quarter or half of its size if that is
  enough, and takes memory for those pixels only.

  Args:
    path: a PNG or JPEG file, of any size; its extension does not matter.
    size: (H, W) in pixels.
    channels: 1 for grey levels (of colors, their luminance), 3 for red, green and blue.
    max_megapixels: of the file; larger ones are not decoded.

  Returns:
    uint8, shape [H, W, channels].

  Raises:
    UnreadableImage: if there is no such file, it is no whole image, or it has too many pixels.
  """
  with _without_warnings():
    return _read(path, size, channels, max_megapixels)


class _LargeError(Exception):
  """An image is too large to be decoded beside others."""


def _read(
    path: str,
    size: tuple[int, int],
    channels: int,
    max_megapixels: float,
    most_pixels: float = math.inf,
) -> np.ndarray:
  """Read as `read` does; raise `_LargeError` if decoding would hold more than so many pixels."""
  height, width = size
  try:
    with open_regular(path) as file:
      picture = _picture(file, max(size))
      _check_size(picture.size, max_megapixels)
      if _pixels_held(picture) > most_pixels:
        raise _LargeError
      image = _upright(picture)
      del picture  # which may hold pixels of its own
      if image.mode == 'RGB' and channels == 1:
        image = image.convert('L')
      if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
      if image.mode != _MODES[channels]:
        image = image.convert(_MODES[channels])
      return np.asarray(image).reshape(height, width, channels)
  except (UnreadableImage, _LargeError):
    raise
  except Exception as error:  # Pillow raises whatever a damaged file makes it stumble over
    raise UnreadableImage(_reason(path, error)) from error


def _picture(file: BinaryIO, edge: int) -> Png | _Jpeg:
  start = file.read(len(SIGNATURE))
  file.seek(0)
  if start == SIGNATURE:
    return Png(file)
  if start.startswith(_JPEG_SIGNATURE):
    return _Jpeg(file, edge)
  raise UnreadableImage('not a PNG or JPEG image')


def _check_size(size: tuple[int, int], max_megapixels: float) -> None:
  width, height = size
  if width * height > max_megapixels * 1e6:
    raise UnreadableImage(
        f'{width} x {height} pixels are {width * height / 1e6:.4g} megapixels; allowed: at most '
        f'{max_megapixels:g} (data.max_megapixels)'
    )


def _pixels_held(picture: Png | _Jpeg) -> int:
  """Return how many pixels decoding holds: all of a progressive JPEG, whatever its target size."""
  whole = isinstance(picture, Png) or 'progressive' in picture.image.info
  width, height = picture.size if whole else picture.image.size
  return width * height


def _upright(picture: Png | _Jpeg) -> Image.Image:
  image = picture.decode()
  turn = None
  with contextlib.suppress(Exception):  # Damaged EXIF data are no reason to lose the picture.
    turn = _TURNS.get(picture.image.getexif().get(ExifTags.Base.Orientation, 1))
  return image if turn is None else image.transpose(turn)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
  """Suppress Pillow's warnings about odd metadata."""
  with warnings.catch_warnings():
    warnings.filterwarnings('ignore', module='PIL')
    yield


def _reason(path: str, error: Exception) -> str:
  if isinstance(error, FileNotFoundError):
    return 'no such file' if os.path.isabs(path) else f'no such file: {os.path.abspath(path)}'
  if isinstance(error, MemoryError):
    return 'not enough memory to decode it'
  text = ' '.join((getattr(error, 'strerror', None) or str(error) or type(error).__name__).split())
  return text if isinstance(error, OSError | SyntaxError) else f'damaged ({text})'


def read_all(
    paths: Sequence[str],
    size: tuple[int, int],
    channels: int | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> tuple[np.ndarray, np.ndarray, list[Skipped]]:
  """Read many files, several at a time, large ones one by one.

  Reading takes the memory of `read` for the largest file, or for 16 megapixels in each thread.

  Args:
    paths: the files.
    size: (H, W) in pixels.
    channels: 1 or 3; unless given, 1 if every image that can be read is grey all over, else 3.
    max_megapixels: of a file; larger ones are not decoded.

  Returns:
    The images that can be read, uint8, shape [N, H, W, C], in the order of the paths; the positions
    of their paths, shape [N]; and what cannot be read.
  """
  images = np.empty((len(paths), *size, channels or 3), np.uint8)
  reasons: list[str | None] = [None] * len(paths)

  def decode(index: int, most_pixels: float = math.inf) -> bool:
    """Decode an image; return False if it is too large to be decoded beside others."""
    try:
      images[index] = _read(paths[index], size, channels or 3, max_megapixels, most_pixels)
    except UnreadableImage as error:
      reasons[index] = str(error)
    except _LargeError:
      return False
    return True

  pool = concurrent.futures.ThreadPoolExecutor()  # Decoding and resizing release the GIL.
  with _without_warnings():
    try:
      done = list(pool.map(lambda index: decode(index, _LARGE), range(len(paths))))
    finally:
      pool.shutdown(cancel_futures=True)
    # In this thread: every other one would keep the memory of its largest image.
    for index in np.flatnonzero(~np.array(done, bool)):
      decode(int(index))
  readable = np.array([reason is None for reason in reasons], bool)
  skipped = [Skipped(p, reason) for p, reason in zip(paths, reasons, strict=True) if reason]
  if skipped:
    images = images[readable]
  if channels is None and _is_grey(images):
    images = np.ascontiguousarray(images[..., :1])
  return images, np.flatnonzero(readable), skipped


def _is_grey(images: np.ndarray) -> bool:
  return all(np.array_equal(images[..., 0], images[..., other]) for other in (1, 2))
