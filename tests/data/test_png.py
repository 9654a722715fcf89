"""PNG files of every kind against the samples that were written, without Pillow's part in it."""

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from multiscale_inversion.data import normalize
from multiscale_inversion.data.sources import images
from tests.data import png_encoder as png

RANDOM = np.random.RandomState(0)
SIZES = [(1, 1), (1, 9), (3, 2), (5, 8), (11, 13)]


def read(path, content, size, channels=3, **options):
  path.write_bytes(content)
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    found = images.read(str(path), size, channels, **options)
  assert found.dtype == np.uint8
  assert found.shape == (*size, channels)
  return found


def draw(kind, size):
  """Random samples that span all bits, and what else the file needs."""
  color_type, depth = kind
  samples = RANDOM.randint(0, 2**depth, (*size, png.CHANNELS[color_type]))
  if color_type != png.PALETTE and size[0] * size[1] > 1:
    samples[0, 0, :] = 0
    samples[-1, -1, :] = 2**depth - 1
    if color_type in (png.GREY_ALPHA, png.COLOR_ALPHA):
      samples[0, 0, -1] = 2**depth - 1
  palette = RANDOM.randint(0, 256, (2**depth, 3)) if color_type == png.PALETTE else None
  return samples, palette


def expected(samples, kind, palette=None, opacity=None):
  """Red, green and blue on white, from 0 to 255; opacity from 0 to 1, of each pixel."""
  color_type, depth = kind
  if color_type == png.PALETTE:
    colors = palette[samples[..., 0]].astype(float)
  else:
    levels = samples * (255 / (2**depth - 1))
    if color_type in (png.GREY_ALPHA, png.COLOR_ALPHA):
      levels, opacity = levels[..., :-1], levels[..., -1] / 255
    colors = np.broadcast_to(levels, (*samples.shape[:2], 3))
  opacity = np.ones(samples.shape[:2]) if opacity is None else opacity
  return opacity[..., None] * colors + (1 - opacity[..., None]) * 255


@pytest.mark.parametrize('interlaced', [False, True])
@pytest.mark.parametrize('kind', png.KINDS, ids=str)
def test_every_color_type_and_depth(tmp_path, kind, interlaced):
  for size in SIZES:
    samples, palette = draw(kind, size)
    content = png.encode(samples, *kind, palette=palette, interlaced=interlaced, seed=size[1])
    found = read(tmp_path / 'a.png', content, size)
    wanted = expected(samples, kind, palette)
    # Pillow's own rounding where there is transparency, else to the nearest.
    atol = 1.01 if kind[0] in (png.GREY_ALPHA, png.COLOR_ALPHA) else 0.501
    if kind[1] < 16 or size != (1, 1):
      np.testing.assert_allclose(found, wanted, atol=atol, err_msg=str(size))
    grey = read(tmp_path / 'a.png', content, size, 1)[..., 0]
    np.testing.assert_allclose(grey, found @ [0.299, 0.587, 0.114], atol=0.51)


@pytest.mark.parametrize('interlaced', [False, True])
@pytest.mark.parametrize('kind', [k for k in png.KINDS if k[0] in (png.GREY, png.COLOR)], ids=str)
def test_one_transparent_level_or_color(tmp_path, kind, interlaced):
  depth = kind[1]
  samples, _ = draw(kind, (9, 7))
  samples[2:5, 3] = samples[1, 1] = wanted = samples[4, 4]
  samples[8, 0] = wanted  # but for the last bit
  samples[8, 0, -1] ^= 1
  # The specification: the low bits alone count.
  noise = 0 if depth == 16 else 2**depth
  transparent = struct.pack(f'>{len(wanted)}H', *(int(level) + noise for level in wanted))
  content = png.encode(samples, *kind, transparent=transparent, interlaced=interlaced)
  opacity = 1.0 - (samples == wanted).all(-1)
  assert (opacity == 0).sum() > 0
  assert opacity[8, 0] == 1
  found = read(tmp_path / 'a.png', content, (9, 7))
  np.testing.assert_allclose(found, expected(samples, kind, opacity=opacity), atol=0.501)


@pytest.mark.parametrize('depth', [1, 2, 4, 8])
@pytest.mark.parametrize('count', [1, 2, 200])
def test_a_palette_with_opacities(tmp_path, depth, count):
  kind = (png.PALETTE, depth)
  samples, palette = draw(kind, (9, 7))
  opacities = np.full(2**depth, 255)
  opacities[:count] = RANDOM.randint(0, 255, count)[: 2**depth]
  transparent = bytes(opacities[:count].tolist())
  content = png.encode(samples, *kind, palette=palette, transparent=transparent)
  wanted = expected(samples, kind, palette, opacities[samples[..., 0]] / 255)
  np.testing.assert_allclose(read(tmp_path / 'a.png', content, (9, 7)), wanted, atol=1.01)


def wide(samples, color_type, opaque=True):
  """Grey samples [H, W] of 16 bits as those of a color type."""
  channels = png.CHANNELS[color_type]
  found = np.repeat(samples[..., None], channels, -1)
  if color_type in (png.GREY_ALPHA, png.COLOR_ALPHA):
    found[..., -1] = 65535
    if not opaque:
      found[0, 0, -1] = 0
  return found


@pytest.mark.parametrize('color_type', [png.GREY, png.COLOR, png.GREY_ALPHA, png.COLOR_ALPHA])
@pytest.mark.parametrize('first', [0, 1000, 40000])
@pytest.mark.parametrize('step', [1, 4, 16, 64, 500])
def test_steps_of_16_bits_stay_apart(tmp_path, color_type, first, step):
  samples = first + step * np.arange(64).reshape(8, 8)
  if samples.max() > 65535:
    samples = samples - samples.max() + 65535
  content = png.encode(wide(samples, color_type), color_type, 16)
  found = read(tmp_path / 'a.png', content, (8, 8))
  levels = found[..., 0].astype(int)
  assert (np.diff(levels.reshape(-1)) > 0).all()
  # What a network sees: as if it had been given the 16-bit samples.
  wanted = samples - samples.mean()
  np.testing.assert_allclose(
    normalize(found[None])[0, ..., 0], wanted / np.abs(wanted).max(), atol=2.5 / 125
  )


@pytest.mark.parametrize('color_type', [png.GREY_ALPHA, png.COLOR_ALPHA])
def test_invisible_pixels_have_no_part_in_the_stretching(tmp_path, color_type):
  samples = 300 + np.arange(64).reshape(8, 8)
  samples[0, 0] = 65535
  content = png.encode(wide(samples, color_type, opaque=False), color_type, 16)
  levels = read(tmp_path / 'a.png', content, (8, 8), 1).reshape(-1).astype(int)
  assert levels[0] == 255
  assert levels[1:].tolist() == np.round(np.arange(63) / 62 * 255).tolist()


def test_colors_of_16_bits_are_stretched_together(tmp_path):
  samples = np.array([[[100, 200, 300], [100, 1100, 600]]])
  found = read(tmp_path / 'a.png', png.encode(samples, png.COLOR, 16), (1, 2))
  np.testing.assert_allclose(found, (samples - 100) / 1000 * 255, atol=0.501)


def test_an_image_of_one_level_keeps_it(tmp_path):
  for level, wanted in ((0, 0), (1000, 4), (65535, 255)):
    content = png.encode(np.full((2, 3, 1), level), png.GREY, 16)
    assert (read(tmp_path / 'a.png', content, (2, 3)) == wanted).all()


def test_the_stretching_is_the_same_in_bands(tmp_path, monkeypatch):
  from multiscale_inversion.data.sources import png as reader

  monkeypatch.setattr(reader, '_BAND', 20)
  for kind in png.KINDS:
    samples, palette = draw(kind, (11, 7))
    content = png.encode(samples, *kind, palette=palette)
    found = read(tmp_path / 'a.png', content, (11, 7))
    np.testing.assert_allclose(found, expected(samples, kind, palette), atol=1.01)


# What does not matter


SAMPLES = RANDOM.randint(0, 256, (6, 5, 3))


XMP = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'


def long_chunks():
  million = b'a ' * 2**21
  squeezed = zlib.compress(million)
  return {
    'tEXt': png.chunk(b'tEXt', b'Comment\0' + million),
    'zTXt': png.chunk(b'zTXt', b'Comment\0\0' + squeezed),
    'iTXt': png.chunk(b'iTXt', b'Comment\0\1\0\0\0' + squeezed),
    'xmp': png.chunk(b'iTXt', b'XML:com.adobe.xmp\0\1\0\0\0' + squeezed),
    'exif': png.chunk(b'zTXt', b'Raw profile type exif\0\0' + squeezed),
    'iCCP': png.chunk(b'iCCP', b'profile\0\0' + squeezed),
    'many': png.chunk(b'tEXt', b'Comment\0' + million[:1000000]) * 70,
    'eXIf': png.chunk(b'eXIf', million),
    'unknown': png.chunk(b'abCd', million),
    'animation': png.chunk(b'acTL', bytes(8)) * 2,
    'wrong checksum': png.chunk(b'tEXt', b'Comment\0abc')[:-1] + b'?',
    'wrong checksum of the orientation': (
      png.chunk(b'eXIf', b'MM\0*')[:-1] + b'?' + png.chunk(b'iTXt', XMP)[:-1] + b'?'
    ),
    'wrong method': png.chunk(b'iCCP', b'profile\0\7abc'),
  }


@pytest.mark.parametrize('name', long_chunks())
def test_chunks_that_do_not_matter(tmp_path, name):
  limits = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY, Image.MAX_IMAGE_PIXELS
  more = long_chunks()[name]
  for content in (
    png.encode(SAMPLES, png.COLOR, 8, before=more), png.encode(SAMPLES, png.COLOR, 8, after=more)
  ):
    np.testing.assert_array_equal(read(tmp_path / 'a.png', content, (6, 5)), SAMPLES)
  assert limits == (
    PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY, Image.MAX_IMAGE_PIXELS
  )


EXIF = b'MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0'  # orientation 6


@pytest.mark.parametrize('place', ['before', 'after'])
@pytest.mark.parametrize('more', [
  png.chunk(b'eXIf', EXIF),
  png.chunk(b'zTXt', b'Raw profile type exif\0\0' + zlib.compress(
    b'\nexif\n%8d\n%s\n' % (len(EXIF) + 6, (b'Exif\0\0' + EXIF).hex().encode())
  )),
  png.chunk(b'iTXt', XMP),
], ids=['eXIf', 'raw profile', 'xmp'])
@pytest.mark.parametrize('kind', [(png.COLOR, 8), (png.COLOR, 16)], ids=str)
def test_the_orientation_matters(tmp_path, place, more, kind):
  samples = SAMPLES if kind[1] == 8 else SAMPLES * 257
  content = png.encode(samples, *kind, **{place: more})
  np.testing.assert_array_equal(
    read(tmp_path / 'a.png', content, (5, 6)), np.rot90(SAMPLES, -1)
  )


@pytest.mark.parametrize('kind', png.KINDS, ids=str)
def test_cut_and_damaged_files(tmp_path, kind):
  samples, palette = draw(kind, (30, 40))
  whole = png.encode(samples, *kind, palette=palette)
  data = whole.index(b'IDAT')
  for content in (whole[: data + 10], whole[:20], whole[: len(whole) // 2],
                  whole[: data + 20] + bytes(30) + whole[data + 50 :]):
    with pytest.raises(images.UnreadableImage) as info:
      read(tmp_path / 'a.png', content, (8, 8))
    assert str(info.value)
    assert '\n' not in str(info.value)


def test_a_small_file_that_names_many_pixels_takes_no_memory(tmp_path, monkeypatch):
  content = bytearray(png.encode(SAMPLES, png.COLOR, 8))
  content[16:24] = struct.pack('>II', 20_000, 20_000)
  content[29:33] = struct.pack('>I', zlib.crc32(content[12:29]))
  monkeypatch.setattr(PngImagePlugin.PngImageFile, 'load', lambda self: pytest.fail('loaded'))
  with pytest.raises(images.UnreadableImage, match=r'^image file is truncated$'):
    read(tmp_path / 'a.png', content, (8, 8))


def test_an_image_of_one_color_is_not_mistaken_for_a_cut_one(tmp_path):
  Image.new('1', (4000, 4000)).save(tmp_path / 'a.png', compress_level=9)
  Image.new('RGB', (3000, 3000), 'red').save(tmp_path / 'b.png', compress_level=9)
  found, _, skipped = images.read_all([str(tmp_path / 'a.png'), str(tmp_path / 'b.png')], (1, 1))
  assert not skipped
  assert found.reshape(2, 3).tolist() == [[0, 0, 0], [255, 0, 0]]
