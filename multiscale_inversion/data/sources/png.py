"""Read PNG files of every color type and bit depth as eight bits, ignoring text and profiles.

Pillow decodes, with three exceptions that are handled here: it keeps only the high byte of most
16-bit samples, compares transparent levels of 2 and 4 bits with samples that are already scaled to
8 bits, and refuses files with a long text or color profile.
"""

import bisect
import io
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

SIGNATURE = b'\x89PNG\r\n\x1a\n'
GREY, COLOR, PALETTE, GREY_ALPHA, COLOR_ALPHA = 0, 2, 3, 4, 6
# Raw modes with which Pillow's decoder returns all bytes of 16-bit samples: for grey with alpha
# both bytes of both samples, otherwise the high bytes and then the low bytes.
_RAW = {
    GREY_ALPHA: ('RGBA',),
    COLOR: ('RGB;16B', 'RGB;16L'),
    COLOR_ALPHA: ('RGBA;16B', 'RGBA;16L'),
}
_BAND = 2**19  # pixels that are processed at once
_MOST_METADATA = 2**20  # bytes, which is Pillow's own limit
# Some programs write the orientation into one of these.
_TEXT_WITH_ORIENTATION = (b'Raw profile type exif', b'XML:com.adobe.xmp')


class Png:
  """A PNG file whose header was read.

  Attributes:
    size: (width, height) in pixels.
    image: Pillow's image, loaded by `decode`; it then knows the orientation.
  """

  def __init__(self, file: BinaryIO):
    """Read the header.

    Raises:
      Exception: whatever Pillow raises for a damaged file.
    """
    chunks = _scan(file)
    self._pixels = chunks.kept
    self._depth, self._color_type = chunks.depth, chunks.color_type
    self._transparent = chunks.transparent
    self.image = PngImagePlugin.PngImageFile(self._pixels)
    self.size = self.image.size
    width, height = self.size
    # A deflated byte expands to at most 1,032: refuse small files that claim many pixels.
    if height * (width * self._depth // 8) > 1032 * chunks.file_size:
      raise OSError('image file is truncated')

  def decode(self) -> Image.Image:
    """Return the picture in mode L or RGB, laid on white where it is transparent.

    16-bit levels are scaled from [0, 65535] to [0, 255]. If the visible pixels use at most half of
    the range, their own range is scaled to [0, 255] instead, so that images that use few of the 16
    bits keep their steps. Decoding takes at most 8 bytes a pixel.
    """
    if self._depth == 16:
      return self._of_16_bits()
    self.image.load()
    image: Image.Image = self.image
    if image.mode == '1':
      image = image.convert('L')
    if self._transparent is not None:
      step = 255 // (2**self._depth - 1)
      wanted = (self._transparent & (2**self._depth - 1)) * step
      return _by_bands([image], image.mode, lambda pixels: _white_where(pixels, wanted))
    if image.mode in ('LA', 'RGBA') or 'transparency' in image.info:
      return _on_white(image, 'L' if image.mode == 'LA' else 'RGB')
    return image.convert('RGB') if image.mode == 'P' else image

  def _of_16_bits(self) -> Image.Image:
    """Reduce 16-bit samples to 8 bits; see `decode`."""
    planes = self._planes()
    least, most = 65535, 0
    for pixels in _bands(planes):
      levels, opacity = self._samples(pixels)
      visible = levels if opacity is None else levels[opacity > 0]
      if visible.size:
        least, most = min(least, int(visible.min())), max(most, int(visible.max()))
    if not 0 < most - least < 2**15:
      least, most = 0, 65535
    # A table is faster than arithmetic. Levels of invisible pixels are clipped.
    every = np.arange(65536).clip(least, most)
    eight_bits = np.round((every - least) * (255 / (most - least))).astype(np.uint8)

    def change(*pixels: np.ndarray) -> np.ndarray:
      levels, opacity = self._samples(pixels)
      if opacity is None:
        return eight_bits[levels]
      share = (opacity / np.float32(65535))[..., None]
      return np.round(255 - share * (255 - eight_bits[levels])).astype(np.uint8)

    mode = 'L' if self._color_type in (GREY, GREY_ALPHA) else 'RGB'
    return _by_bands(planes, mode, change)

  def _planes(self) -> list[Image.Image]:
    """Return images that together hold all bytes of the 16-bit samples."""
    if self._color_type == GREY:
      self.image.load()
      return [self.image]
    planes: list[Image.Image] = []
    for raw in _RAW[self._color_type]:
      image = self.image
      if planes:
        self._pixels.seek(0)
        image = PngImagePlugin.PngImageFile(self._pixels)
      image.tile = [tile._replace(args=raw) for tile in image.tile]
      image.load()
      planes.append(image)
    return planes

  def _samples(self, pixels: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """Return levels [H, W, C] and opacity [H, W] (None if opaque), both from 0 to 65,535."""
    if self._color_type == GREY:
      samples = pixels[0][..., None].astype(np.uint16)
    elif self._color_type == GREY_ALPHA:
      samples = pixels[0][..., ::2].astype(np.uint16) << 8 | pixels[0][..., 1::2]
    else:
      samples = pixels[0].astype(np.uint16) << 8 | pixels[1]
    if self._color_type in (GREY_ALPHA, COLOR_ALPHA):
      return samples[..., :-1], samples[..., -1]
    if self._transparent is None:
      return samples, None
    visible = (samples != self._transparent).any(-1)
    return samples, np.where(visible, np.uint16(65535), np.uint16(0))


class _Chunks(NamedTuple):
  """The result of `_scan`.

  Attributes:
    file_size: in bytes.
    kept: the file without the chunks that do not matter for the picture.
    depth, color_type: of the header.
    transparent: the one level of each channel that is transparent, shape [C]; None if there is
      none.
  """

  file_size: int
  kept: BinaryIO
  depth: int
  color_type: int
  transparent: np.ndarray | None


def _scan(file: BinaryIO) -> _Chunks:
  """Scan the chunks of a file without reading those of the picture."""
  file.seek(0, io.SEEK_END)
  end = file.tell()
  parts = [(0, len(SIGNATURE))]
  depth, color_type, transparent, at = 8, COLOR, None, len(SIGNATURE)
  keys = set()
  while at < end:
    file.seek(at)
    head = file.read(8)
    length, kind = struct.unpack('>I4s', head) if len(head) == 8 else (0, b'')
    following = min(at + 12 + length, end) if kind else end
    if kind == b'IHDR' and length >= 13:
      depth, color_type = file.read(13)[8:10]
    if kind == b'tRNS' and color_type in (GREY, COLOR):
      levels = file.read(min(length, 6))
      transparent = np.frombuffer(levels[: 2 if color_type == GREY else 6], '>u2')
    elif kind in (b'eXIf', b'iTXt', b'zTXt', b'tEXt') and length <= _MOST_METADATA:
      key = _key_of_orientation(kind, file.read(length), file.read(4))
      if key and key not in keys:
        keys.add(key)
        parts.append((at, following))
    elif not kind[:1].islower() or kind == b'tRNS':
      parts.append((at, following))
    at = following
  if transparent is not None and len(transparent) != (1 if color_type == GREY else 3):
    transparent = None
  kept = io.BufferedReader(Parts(file, parts))
  return _Chunks(end, kept, depth, color_type, transparent)


def _key_of_orientation(kind: bytes, content: bytes, checksum: bytes) -> bytes | None:
  """Return the key of an intact chunk that may hold the orientation and that Pillow accepts."""
  if zlib.crc32(kind + content).to_bytes(4) != checksum:
    return None
  if kind == b'eXIf':
    return kind
  key, _, text = content.partition(b'\0')
  if key not in _TEXT_WITH_ORIENTATION:
    return None
  if kind == b'zTXt':
    return key if _is_short(text[1:]) else None
  if kind == b'iTXt' and text[:1] != b'\0':
    return key if _is_short(text[2:].split(b'\0', 2)[-1]) else None
  return key


def _is_short(compressed: bytes) -> bool:
  stream = zlib.decompressobj()
  try:
    stream.decompress(compressed, _MOST_METADATA)
  except zlib.error:
    return False
  return not stream.unconsumed_tail


class Parts(io.RawIOBase):
  """Some parts of a file, one behind the other, as a raw file."""

  def __init__(self, file: BinaryIO, parts: list[tuple[int, int]]):
    """Take the parts, each from a first byte to the one behind its last."""
    self._file = file
    self._parts = parts
    lengths = (end - start for start, end in parts)
    *self._starts, self._length = itertools.accumulate(lengths, initial=0)
    self._at = 0

  def readable(self) -> bool:
    """Return True."""
    return True

  def seekable(self) -> bool:
    """Return True."""
    return True

  def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
    """Move to a position among the parts' bytes."""
    self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
    return self._at

  def readinto(self, buffer: Any) -> int:
    """Read into a buffer from the part at the position; return the number of bytes."""
    if self._at >= self._length:
      return 0
    index = bisect.bisect_right(self._starts, self._at) - 1
    start, end = self._parts[index]
    done = self._at - self._starts[index]
    self._file.seek(start + done)
    piece = self._file.read(min(len(buffer), end - start - done))
    buffer[: len(piece)] = piece
    self._at += len(piece)
    return len(piece)


def _on_white(image: Image.Image, mode: str) -> Image.Image:
  """Lay a picture with transparency on white."""

  def lay(box: Image.Image) -> Image.Image:
    box = box.convert('RGBA')
    return Image.alpha_composite(Image.new('RGBA', box.size, 'white'), box).convert(mode)

  result = Image.new(mode, image.size)
  for box in _boxes(image):
    result.paste(lay(image.crop(box)), box[:2])
  return result


def _white_where(pixels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
  """Put white in place of the one level or color that is transparent."""
  pixels = pixels.reshape(*pixels.shape[:2], -1)
  return np.where((pixels == wanted).all(-1, keepdims=True), np.uint8(255), pixels)


def _boxes(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
  """Yield bands of whole rows that make up an image."""
  width, height = image.size
  rows = max(1, _BAND // width)
  for top in range(0, height, rows):
    yield 0, top, width, min(top + rows, height)


def _bands(planes: list[Image.Image]) -> Iterator[list[np.ndarray]]:
  """Yield the pixels of each band, for each image."""
  for box in _boxes(planes[0]):
    yield [np.asarray(plane.crop(box)) for plane in planes]


def _by_bands(
    planes: list[Image.Image], mode: str, change: Callable[..., np.ndarray]
) -> Image.Image:
  """Compute an image from the pixels of others, one band at a time to save memory."""
  # Colors go back to where they came from.
  result = planes[0] if planes[0].mode == mode else Image.new(mode, planes[0].size)
  for box in _boxes(planes[0]):
    pixels = change(*(np.asarray(plane.crop(box)) for plane in planes))
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    result.paste(Image.fromarray(pixels), box[:2])
  return result
