"""Corrupted training images: noise, occlusion, a fixed pattern, the same in every epoch."""

import numpy as np

from multiscale_inversion.errors import UserError, check_choice, check_range

NAMES = ('none', 'gaussian', 'occlusion', 'pattern')

_HUGE = 1000
_CHUNK = 4096  # images whose noise is in memory at once


def check(name: str, level: float) -> None:
  """Check a corruption and its level.

  Raises:
    UserError: for an unknown name, a level out of range, or a level of no corruption.
  """
  check_choice('name', name, NAMES)
  check_range('level', level, 0, _HUGE if name == 'gaussian' else 1)
  if name == 'none' and level:
    allowed = ', '.join(NAMES[1:])
    raise UserError(f'{level!r} without a corruption; allowed: 0, or one of {allowed}', 'level')


def corrupt(images: np.ndarray, name: str, level: float, seed: int) -> np.ndarray:
  """Corrupt a set of images, each one always in the same way.

  The images are first multiplied by the largest whole number that leaves them within 0 and 255, so
  that what is added is not rounded to few grey levels (those of `digits` go to 16, and so to 240).
  Normalization undoes it exactly. Let M be their maximum after that.

  - `none`: the images themselves.
  - `gaussian`: independent noise of standard deviation `level * M` in each value; the sum is
    clipped to 0 and M.
  - `occlusion`: a rectangle of each image, with its proportions and the part `level` of its area
    (to whole pixels), anywhere inside, becomes M / 2.
  - `pattern`: each becomes `(1 - level) * image + level * p`, where p, the same for all, is uniform
    noise from 0 to M.

  Args:
    images: uint8, shape [N, H, W, C]; not changed.
    name: one of `NAMES`.
    level: from 0; to 1 but for `gaussian`; 0 for `none`.
    seed: a non-negative integer, of which what is drawn is a function.

  Returns:
    uint8, same shape.

  Raises:
    UserError: as `check`.
  """
  check(name, level)
  if name == 'none':
    return images
  images = images * np.uint8(255 // max(1, images.max()))
  # Streams of their own: with the seed alone they would be those of the choice of labels.
  random = np.random.RandomState([seed, NAMES.index(name)])
  return _CORRUPTIONS[name](images, level, random)


def _gaussian(images: np.ndarray, level: float, random: np.random.RandomState) -> np.ndarray:
  largest = float(images.max())
  corrupted = np.empty_like(images)
  for start in range(0, len(images), _CHUNK):
    part = images[start : start + _CHUNK]
    noisy = part + level * largest * random.standard_normal(part.shape)
    corrupted[start : start + _CHUNK] = np.rint(np.clip(noisy, 0, largest))
  return corrupted


def _occlusion(images: np.ndarray, level: float, random: np.random.RandomState) -> np.ndarray:
  corrupted, size = images.copy(), images.shape[1:3]
  length = [round(level**0.5 * edge) for edge in size]
  firsts = [random.randint(0, e - n + 1, len(images)) for e, n in zip(size, length, strict=True)]
  for image, row, column in zip(corrupted, *firsts, strict=True):
    image[row : row + length[0], column : column + length[1]] = images.max() // 2
  return corrupted


def _pattern(images: np.ndarray, level: float, random: np.random.RandomState) -> np.ndarray:
  pattern = random.uniform(0, images.max(), images.shape[1:])
  corrupted = np.empty_like(images)
  for start in range(0, len(images), _CHUNK):
    part = images[start : start + _CHUNK]
    corrupted[start : start + _CHUNK] = np.rint((1 - level) * part + level * pattern)
  return corrupted


_CORRUPTIONS = {'gaussian': _gaussian, 'occlusion': _occlusion, 'pattern': _pattern}
