"""Image files of all kinds as arrays: expectations are drawn or computed with NumPy alone."""

import os
import stat
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from multiscale_inversion.data.sources import images, png

RANDOM = np.random.RandomState(0)
COLORS = RANDOM.randint(0, 256, (6, 5, 3)).astype(np.uint8)
GREYS = COLORS[..., 0]


def save(path, pixels, mode=None, **options):
  image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
  (image.convert(mode) if mode else image).save(path, **options)
  return str(path)


def read(path, channels=3, size=(6, 5)):
  found = images.read(path, size, channels)
  assert found.dtype == np.uint8
  assert found.shape == (*size, channels)
  return found


def test_colors(tmp_path):
  np.testing.assert_array_equal(read(save(tmp_path / 'a.png', COLORS)), COLORS)


def test_the_extension_does_not_matter(tmp_path):
  path = save(tmp_path / 'a.jpg', COLORS, format='PNG')
  np.testing.assert_array_equal(read(path), COLORS)


def test_grey_levels(tmp_path):
  path = save(tmp_path / 'a.png', GREYS)
  np.testing.assert_array_equal(read(path, 1)[..., 0], GREYS)
  np.testing.assert_array_equal(read(path), np.repeat(GREYS[..., None], 3, -1))


def test_grey_of_colors_is_their_luminance(tmp_path):
  found = read(save(tmp_path / 'a.png', COLORS), 1)[..., 0]
  np.testing.assert_allclose(found, COLORS @ [0.299, 0.587, 0.114], atol=0.51)


def test_black_and_white(tmp_path):
  path = save(tmp_path / 'a.png', Image.fromarray(GREYS > 128))
  np.testing.assert_array_equal(read(path, 1)[..., 0], np.where(GREYS > 128, 255, 0))


def test_palette(tmp_path):
  image = Image.new('P', (2, 1))
  image.putpalette([10, 20, 30, 200, 100, 50])
  image.putdata([1, 0])
  found = read(save(tmp_path / 'a.png', image), size=(1, 2))
  assert found.tolist() == [[[200, 100, 50], [10, 20, 30]]]
  found = read(save(tmp_path / 'b.png', image, transparency=0), size=(1, 2))
  assert found.tolist() == [[[200, 100, 50], [255, 255, 255]]]


def test_transparency_lies_on_white(tmp_path):
  alpha = RANDOM.randint(0, 256, (6, 5, 1)).astype(np.uint8)
  share = alpha / 255
  found = read(save(tmp_path / 'a.png', np.concatenate([COLORS, alpha], -1)))
  np.testing.assert_allclose(found, share * COLORS + (1 - share) * 255, atol=1)
  grey = Image.merge('LA', [Image.fromarray(GREYS), Image.fromarray(alpha[..., 0])])
  found = read(save(tmp_path / 'b.png', grey), 1)
  np.testing.assert_allclose(found, share * GREYS[..., None] + (1 - share) * 255, atol=1)


def test_sixteen_bits_become_eight(tmp_path):
  levels = np.array([[0, 257, 300, 32768, 65535]], np.uint16)
  found = read(save(tmp_path / 'a.png', levels), 1, (1, 5))
  assert found[..., 0].tolist() == [[0, 1, 1, 128, 255]]  # of 65,535 parts 255


def test_cmyk_jpeg(tmp_path):
  path = save(tmp_path / 'a.jpg', Image.new('CMYK', (16, 16), (0, 255, 255, 0)), quality=100)
  np.testing.assert_allclose(read(path, size=(4, 4)), np.full((4, 4, 3), [255, 0, 0]), atol=4)


# What an orientation does to the stored picture, as EXIF defines it.
TURNS = {
  1: lambda x: x,
  2: lambda x: x[:, ::-1],
  3: lambda x: np.rot90(x, 2),
  4: lambda x: x[::-1],
  5: lambda x: x.swapaxes(0, 1),
  6: lambda x: np.rot90(x, -1),
  7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
  8: np.rot90,
}


@pytest.mark.parametrize('orientation', TURNS)
def test_exif_orientation(tmp_path, orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  wanted = TURNS[orientation](COLORS)
  path = save(tmp_path / 'a.png', COLORS, exif=exif)
  np.testing.assert_array_equal(read(path, size=wanted.shape[:2]), wanted)


def test_exif_orientation_of_a_large_jpeg(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 6
  pixels = np.zeros((400, 600, 3), np.uint8)
  pixels[:200] = [250, 20, 20]  # above as it is stored; to the right when it is turned
  found = read(save(tmp_path / 'a.jpg', pixels, exif=exif), size=(12, 8))
  np.testing.assert_allclose(found[:, 5:], np.full((12, 3, 3), [250, 20, 20]), atol=6)
  np.testing.assert_allclose(found[:, :3], 0, atol=6)


def test_damaged_exif_data_lose_the_turn_alone(tmp_path):
  path = save(tmp_path / 'a.png', COLORS, exif=b'Exif\0\0nonsense')
  np.testing.assert_array_equal(read(path), COLORS)


@pytest.mark.parametrize('extension', ['png', 'jpg'])
@pytest.mark.parametrize('shape', [(40, 90), (700, 300), (3, 2)])
def test_any_size_is_stretched(tmp_path, shape, extension):
  rows, columns = shape
  pixels = np.zeros((rows * 2, columns * 2, 3), np.uint8)
  pixels[:rows, columns:] = 240  # the upper right quarter
  found = read(save(tmp_path / f'a.{extension}', pixels), size=(16, 16)).astype(int)
  corners = found[:4, :4], found[:4, -4:], found[-4:, :4], found[-4:, -4:]
  means = [part.mean() for part in corners]
  np.testing.assert_allclose(means, [0, 240, 0, 0], atol=12)


def broken_files(folder):
  whole = (folder / 'whole.png', folder / 'whole.jpg')
  noise = RANDOM.randint(0, 256, (50, 60, 3)).astype(np.uint8)
  for path in whole:
    save(path, noise)
  for path in whole:
    content = path.read_bytes()
    (folder / f'cut{path.suffix}').write_bytes(content[: len(content) // 2])
    (folder / f'header{path.suffix}').write_bytes(content[:20])
  damaged = bytearray(whole[0].read_bytes())
  damaged[len(damaged) // 2] ^= 255
  (folder / 'damaged.png').write_bytes(damaged)
  (folder / 'empty.png').touch()
  (folder / 'text.jpg').write_text('no image')
  (folder / 'folder.png').mkdir()
  save(folder / 'other.png', noise, format='GIF')
  return [str(folder / name) for name in (
    'cut.png', 'cut.jpg', 'header.png', 'header.jpg', 'damaged.png', 'empty.png', 'text.jpg',
    'folder.png', 'other.png', 'absent.png',
  )]


def test_what_cannot_be_read_is_said_in_one_line(tmp_path):
  for path in broken_files(tmp_path):
    with pytest.raises(images.UnreadableImage) as info:
      images.read(path, (8, 8))
    assert str(info.value) and '\n' not in str(info.value), path
  with pytest.raises(images.UnreadableImage, match=r'^not a PNG or JPEG image$'):
    images.read(str(tmp_path / 'text.jpg'), (8, 8))
  with pytest.raises(images.UnreadableImage, match=r'^no such file$'):
    images.read(str(tmp_path / 'absent.png'), (8, 8))


def test_many_files_in_order_without_the_broken_ones(tmp_path):
  broken = broken_files(tmp_path)
  levels = range(0, 250, 5)
  good = [save(tmp_path / f'{n}.png', np.full((9, 9), n, np.uint8)) for n in levels]
  paths = [*good[:20], *broken, *good[20:]]
  found, positions, skipped = images.read_all(paths, (4, 3), channels=3)
  assert found.shape == (len(good), 4, 3, 3)
  np.testing.assert_array_equal(found, np.broadcast_to(
    np.array(levels)[:, None, None, None], found.shape
  ))
  assert [paths[position] for position in positions] == good
  assert [path for path, _ in skipped] == broken
  assert all(reason for _, reason in skipped)


def test_channels_are_one_only_where_every_image_is_grey(tmp_path):
  grey = save(tmp_path / 'grey.png', GREYS)
  grey_colors = save(tmp_path / 'colors.png', np.repeat(GREYS[..., None], 3, -1))
  colored = save(tmp_path / 'colored.png', COLORS)
  found, _, _ = images.read_all([grey, grey_colors], (6, 5))
  np.testing.assert_array_equal(found, np.stack([GREYS, GREYS])[..., None])
  found, _, _ = images.read_all([grey, colored], (6, 5))
  np.testing.assert_array_equal(found, np.stack([np.repeat(GREYS[..., None], 3, -1), COLORS]))
  assert images.read_all([grey], (6, 5), channels=3)[0].shape == (1, 6, 5, 3)
  assert images.read_all([colored], (6, 5), channels=1)[0].shape == (1, 6, 5, 1)


# Large ones


@pytest.mark.parametrize('extension', ['png', 'jpg'])
def test_pillows_limit_does_not_count(tmp_path, monkeypatch, extension):
  path = save(tmp_path / f'a.{extension}', np.full((60, 50, 3), 200, np.uint8))
  for limit in (1600, 10):  # one that Pillow warns of, one that it refuses
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', limit)
    with warnings.catch_warnings():
      warnings.simplefilter('error')
      assert abs(read(path).astype(int) - 200).max() <= 1
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_photograph_of_200_megapixels(tmp_path):
  image = Image.new('L', (20_000, 10_000), 30)
  image.paste(220, (10_000, 0, 20_000, 10_000))
  found = read(save(tmp_path / 'a.jpg', image), 1, (8, 8))[..., 0].astype(int)
  np.testing.assert_allclose(found[:, :3], 30, atol=2)
  np.testing.assert_allclose(found[:, -3:], 220, atol=2)


def test_a_limit_in_megapixels(tmp_path):
  paths = [save(tmp_path / f'{n}.{kind}', np.zeros((100, n), np.uint8))
           for n in (99, 100, 101) for kind in ('png', 'jpg')]
  _, positions, skipped = images.read_all(paths, (4, 4), max_megapixels=0.01)
  assert positions.tolist() == [0, 1, 2, 3]
  reason = '101 x 100 pixels are 0.0101 megapixels; allowed: at most 0.01 (data.max_megapixels)'
  assert skipped == [(paths[4], reason), (paths[5], reason)]


def test_large_ones_are_decoded_one_at_a_time(tmp_path, monkeypatch):
  monkeypatch.setattr(images, '_LARGE', 100)
  sizes = [5, 20, 6, 30, 7, 8, 40, 9]
  paths = [save(tmp_path / f'{n}.png', np.full((n, n), n, np.uint8)) for n in sizes]
  decode, by_caller = png.Png.decode, []

  def record(self):
    by_caller.append((self.size[0], threading.current_thread() is threading.main_thread()))
    return decode(self)

  monkeypatch.setattr(png.Png, 'decode', record)
  found, positions, _ = images.read_all(paths, (1, 1), 1)
  assert found.reshape(-1).tolist() == sizes
  assert positions.tolist() == list(range(8))
  assert sorted(by_caller) == [(n, n > 10) for n in sorted(sizes)]
  assert [n for n, main in by_caller if main] == [20, 30, 40]


def test_a_progressive_jpeg_counts_whole(tmp_path, monkeypatch):
  pixels = np.full((400, 400), 90, np.uint8)
  counts = []
  held = images._pixels_held
  monkeypatch.setattr(images, '_pixels_held', lambda p: counts.append(held(p)) or counts[-1])
  read(save(tmp_path / 'a.jpg', pixels), 1, (4, 4))
  read(save(tmp_path / 'b.jpg', pixels, progressive=True), 1, (4, 4))
  assert counts == [50 * 50, 400 * 400]


# What is no file


def test_what_is_no_regular_file_is_not_opened(tmp_path):
  os.mkfifo(tmp_path / 'pipe.png')
  (tmp_path / 'link.png').symlink_to(tmp_path / 'pipe.png')
  (tmp_path / 'folder.png').mkdir()
  (tmp_path / 'device.png').symlink_to('/dev/zero')
  (tmp_path / 'nothing.png').symlink_to(tmp_path / 'absent')
  os.mknod(tmp_path / 'socket.png', stat.S_IFSOCK | 0o600)
  good = save(tmp_path / 'good.png', COLORS)
  kinds = {'pipe': 'a named pipe', 'link': 'a named pipe', 'folder': 'a folder',
           'device': 'a device', 'socket': 'a socket'}
  paths = [*(str(tmp_path / f'{name}.png') for name in (*kinds, 'nothing')), good]
  found, positions, skipped = images.read_all(paths, (6, 5), 3)
  assert positions.tolist() == [6]
  np.testing.assert_array_equal(found[0], COLORS)
  reasons = [f'{kind}; allowed: a regular file' for kind in kinds.values()]
  assert [reason for _, reason in skipped] == [*reasons, 'no such file']


def test_a_file_that_becomes_a_pipe_is_not_waited_for(tmp_path, monkeypatch):
  from multiscale_inversion import regular_files

  os.mkfifo(tmp_path / 'pipe.png')
  monkeypatch.setattr(regular_files, 'check_regular', lambda path: None)
  with pytest.raises(images.UnreadableImage, match='a named pipe; allowed: a regular file'):
    read(str(tmp_path / 'pipe.png'))


def test_a_relative_path_is_completed(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  save(tmp_path / 'a.png', COLORS)
  np.testing.assert_array_equal(read('a.png'), COLORS)
  with pytest.raises(images.UnreadableImage) as info:
    read('b/c.png')
  assert str(info.value) == f'no such file: {tmp_path}/b/c.png'


def test_odd_metadata_cause_no_warning(tmp_path):
  exif = b'Exif\0\0MM\0*\0\0\0\x08\0\x03\x01\x12\0\x03\0\0\0\x01'  # cut
  path = save(tmp_path / 'a.jpg', np.full((9, 9, 3), 70, np.uint8), exif=exif)
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    assert abs(read(path).astype(int) - 70).max() <= 1
    found, _, skipped = images.read_all([path], (2, 2), 3)
  assert not skipped
  assert found.shape == (1, 2, 2, 3)
