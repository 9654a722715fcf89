"""A PNG encoder of every color type, bit depth and filter, straight from the specification."""

import struct
import zlib

import numpy as np

GREY, COLOR, PALETTE, GREY_ALPHA, COLOR_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, COLOR: 3, PALETTE: 1, GREY_ALPHA: 2, COLOR_ALPHA: 4}
KINDS = [
  *((GREY, depth) for depth in (1, 2, 4, 8, 16)),
  *((PALETTE, depth) for depth in (1, 2, 4, 8)),
  *((color_type, depth) for color_type in (COLOR, GREY_ALPHA, COLOR_ALPHA) for depth in (8, 16)),
]
_ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
          (1, 0, 2, 1)]


def chunk(kind, content):
  return struct.pack('>I', len(content)) + kind + content + struct.pack(
    '>I', zlib.crc32(kind + content)
  )


def encode(samples, color_type, depth, *, palette=None, transparent=None, interlaced=False,
           before=b'', after=b'', seed=0):
  """Bytes of a PNG file.

  Args:
    samples: integers below 2**depth, shape [H, W, C].
    palette: bytes, shape [N, 3].
    transparent: the content of tRNS.
    before, after: chunks before the picture's data, and behind them.
  """
  random = np.random.RandomState(seed)
  rows, columns, channels = samples.shape
  assert channels == CHANNELS[color_type]
  header = struct.pack('>IIBBBBB', columns, rows, depth, color_type, 0, 0, int(interlaced))
  passes = _ADAM7 if interlaced else [(0, 0, 1, 1)]
  data = b''.join(
    _filtered(samples[top::down, left::right], depth, random) for top, left, down, right in passes
  )
  parts = [b'\x89PNG\r\n\x1a\n', chunk(b'IHDR', header), before]
  if palette is not None:
    parts.append(chunk(b'PLTE', np.asarray(palette, np.uint8).tobytes()))
  if transparent is not None:
    parts.append(chunk(b'tRNS', transparent))
  data = zlib.compress(data)
  half = len(data) // 2
  parts += [chunk(b'IDAT', data[:half]), chunk(b'IDAT', data[half:]), after, chunk(b'IEND', b'')]
  return b''.join(parts)


def _filtered(samples, depth, random):
  rows, columns, channels = samples.shape
  if not rows or not columns:
    return b''
  bits = (samples[..., None] >> np.arange(depth)[::-1]) & 1
  packed = np.packbits(bits.reshape(rows, -1).astype(np.uint8), axis=1).astype(int)
  back = max(1, channels * depth // 8)
  left = np.pad(packed, ((0, 0), (back, 0)))[:, : packed.shape[1]]
  above = np.pad(packed, ((1, 0), (0, 0)))[:-1]
  corner = np.pad(left, ((1, 0), (0, 0)))[:-1]
  guess = left + above - corner
  distances = np.abs(np.stack([guess - left, guess - above, guess - corner]))
  paeth = np.choose(distances.argmin(0), [left, above, corner])  # the first of the nearest
  predictions = [0 * packed, left, above, (left + above) // 2, paeth]
  lines = []
  for row in range(rows):
    kind = random.randint(5)
    line = (packed[row] - predictions[kind][row]) % 256
    lines.append(bytes([kind, *line.tolist()]))
  return b''.join(lines)
