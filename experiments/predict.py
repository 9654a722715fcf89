"""Classifies images with a trained network: `python -m experiments.predict --workdir=DIR IMAGE...`.

DIR is the folder of a run, on whatever data set. Each image, a PNG or JPEG file, is read as those
of a folder are (turned upright, stretched to the size that the network takes, grey where it takes
grey), and gets a line with its most probable classes, three or `--top=N`:

    IMAGE: cat 93.1 %, dog 5.2 %, bird 1.1 %

To the folder of `--out` (default: DIR/predictions) a PNG is written for each image: what the
network sees, on the left, and beside it what it reconstructs from its own output, r^(0) (Eq. 7), on
the same scale of grey levels or colors. Of a run of several seeds it is the first one's network, or
that of `--seed=S`. `--config=FILE` names the file that registers the network, where it is your own.
An image that cannot be read is named, and the others are done.
Exit status: 0 done, 1 an image could not be read, 2 wrong input, 74 standard output cannot be
written, 141 nobody reads it any more.
"""

import io
import itertools
import os
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from absl import flags
from PIL import Image

from multiscale_inversion import files, trained
from multiscale_inversion.cli import program as cli
from multiscale_inversion.cli.text import one_line, shorten
from multiscale_inversion.data.sources import images as images_lib
from multiscale_inversion.errors import UserError

# Other programs have flags of these names; one process may import several.
flags.DEFINE_string('workdir', None, "The run's folder.", allow_override=True)
_OUT = flags.DEFINE_string('out', None, 'Folder to write to.', allow_override=True)
_TOP = flags.DEFINE_integer('top', 3, 'How many classes to print.', lower_bound=1)
_SEED = flags.DEFINE_integer('seed', None, 'Which network of a run of several seeds.')

_AT_ONCE = 100
_SHOWN_EDGE = 256  # pixels at least, in the pictures written
_GAP = 8
_ENDING = '.png'
_LONGEST_NAME = 255  # bytes
_DIGITS = 10  # reserved in a name that is cut off, for a number


def main(argv: list[str]) -> int:
  """Runs the program; returns its exit status."""
  workdir = cli.workdir()
  if not workdir:
    raise UserError("--workdir: missing; allowed: a run's folder")
  if not argv[1:]:
    raise UserError('no image; allowed: one or more PNG or JPEG files after the flags')
  network = trained.load(workdir, _SEED.value)
  out = _folder(workdir)
  names = _file_names(argv[1:], _longest_name(out))
  given, written = list(names), 0
  for start in range(0, len(given), _AT_ONCE):
    paths, images = _read(given[start : start + _AT_ONCE], network.image_shape)
    if not paths:
      continue
    reconstructions = network.invert(images).reconstructions[0]
    for path, image, probabilities, reconstruction in zip(
        paths, images, network.predict(images), np.asarray(reconstructions), strict=True
    ):
      found = describe(probabilities, network.class_names, _TOP.value)
      print(one_line(f'{path}: {found}'), flush=True)
      _save(beside(image, reconstruction), os.path.join(out, names[path]))
    written += len(paths)
  if written:
    print(f'reconstructions: {out}', file=sys.stderr)
  return 0 if written == len(given) else 1


def _read(
    paths: Sequence[str], shape: tuple[int, int, int]
) -> tuple[list[str], np.ndarray]:
  """The images that can be read, with their paths; names the others."""
  height, width, channels = shape
  images, positions, unreadable = images_lib.read_all(paths, (height, width), channels)
  for path, reason in unreadable:
    print(f'error: {one_line(path)}: {reason}', file=sys.stderr)
  return [paths[position] for position in positions], images


def _folder(workdir: str) -> str:
  """The folder of the pictures, made where there is none.

  Raises:
    UserError: if it cannot be made; or if it is the run's own and a link, which may lead anywhere.
  """
  if _OUT.value:
    files.make_folder(_OUT.value, '--out')
    return _OUT.value
  out = os.path.join(workdir, 'predictions')
  if os.path.islink(out):
    raise UserError(f'{out}: a link, not a folder; allowed: --out=DIR to write where it leads')
  files.make_folder(out, '--out')
  return out


def _longest_name(folder: str) -> int:
  """How many bytes the name of a file in a folder may have."""
  try:
    return min(os.pathconf(folder, 'PC_NAME_MAX'), _LONGEST_NAME)
  except (OSError, ValueError):
    return _LONGEST_NAME


def _file_names(paths: Sequence[str], longest: int = _LONGEST_NAME) -> dict[str, str]:
  """What is written for each image: its name, with a number where another one has it.

  Args:
    paths: of the images; each counts once.
    longest: how many bytes a name may have.

  Returns:
    By path, the name of its picture: no two are equal.
  """
  names: dict[str, str] = {}
  taken: set[str] = set()
  numbers: dict[str, Iterator[int]] = {}  # by stem: no number is tried twice
  for path in dict.fromkeys(paths):
    stem = os.path.splitext(os.path.basename(path))[0]
    name = shorten(stem, longest - len(_ENDING)) + _ENDING
    short = shorten(stem, longest - len(_ENDING) - _DIGITS)
    while name in taken:
      name = f'{short}_{next(numbers.setdefault(short, itertools.count(2)))}{_ENDING}'
    taken.add(name)
    names[path] = name
  return names


def _save(picture: Image.Image, path: str) -> None:
  """Writes a PNG; of a link with its name, the link is replaced and not the file it leads to."""
  content = io.BytesIO()
  picture.save(content, format='PNG')
  files.write_bytes(path, content.getvalue(), follow=False)


def describe(probabilities: np.ndarray, class_names: Sequence[str], count: int) -> str:
  """The most probable classes with their probabilities in percent, the greatest first."""
  order = np.argsort(-probabilities, kind='stable')[:count]
  return ', '.join(f'{class_names[index]} {100 * probabilities[index]:.1f} %' for index in order)


def beside(image: np.ndarray, reconstruction: np.ndarray) -> Image.Image:
  """An image and, to its right, its reconstruction, both enlarged.

  Args:
    image: uint8, shape [H, W, C].
    reconstruction: r^(0), in the range of the normalized image, same shape. It is shown with the
      mean and the scale that normalization took off the image; what is beyond black or white is
      black or white.
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


if __name__ == '__main__':
  cli.run(main, needs_config=False)
