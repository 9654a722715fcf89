"""Classify images with a trained network: `python -m experiments.predict --workdir=DIR IMAGE...`.

DIR is the folder of a run on any data set. Each image, a PNG or JPEG file, is read like those of
the data set `folder`: turned upright, stretched to the size that the network takes, and made grey
if the network takes grey images. A line shows its most probable classes, three or `--top=N`:

    IMAGE: cat 93.1 %, dog 5.2 %, bird 1.1 %

For each image, a PNG file is written to the folder of `--out` (default: DIR/predictions). It shows
the image as the network takes it and, to its right, the reconstruction r^(0) (Eq. 7) on the same
scale of grey levels or colors. In a run of several seeds, the network is that of the first seed or
of `--seed=S`. `--config=FILE` names the file that registers a custom network. An image that cannot
be read is named, and the others are still classified.
Exit status: 0 done, 1 an image could not be read, 2 wrong input, 74 standard output cannot be
written, 141 standard output was closed.
"""

import io
import os
import sys
from collections.abc import Sequence

import numpy as np
from absl import flags
from PIL import Image

from multiscale_inversion import files, loading
from multiscale_inversion.cli import program as cli
from multiscale_inversion.data.sources import images as images_lib
from multiscale_inversion.errors import UserError
from multiscale_inversion.text import UniqueNames, one_line

# Other programs have flags of these names; one process may import several.
flags.DEFINE_string('workdir', None, "The run's folder.", allow_override=True)
_OUT = flags.DEFINE_string('out', None, 'Folder to write to.', allow_override=True)
_TOP = flags.DEFINE_integer('top', 3, 'How many classes to print.', lower_bound=1)
_SEED = flags.DEFINE_integer('seed', None, 'Which network of a run of several seeds.')

_AT_ONCE = 100
_SHOWN_EDGE = 256  # pixels at least, in the pictures written
_GAP = 8
_LONGEST_NAME = 255  # bytes


def main(argv: list[str]) -> int:
  """Run the program; return its exit status."""
  workdir = cli.workdir()
  if not workdir:
    raise UserError("--workdir: missing; allowed: a run's folder")
  if not argv[1:]:
    raise UserError('no image; allowed: one or more PNG or JPEG files after the flags')
  network = loading.load(workdir, _SEED.value)
  out = _folder(workdir)
  names = _file_names(argv[1:], _longest_name(out))
  given, written = list(names), 0
  for start in range(0, len(given), _AT_ONCE):
    paths, images = _read(given[start : start + _AT_ONCE], network.size_of_images())
    if not paths:
      continue
    reconstructions = network.invert(images).reconstructions[0]
    for path, image, probabilities, reconstruction in zip(
        paths, images, network.predict_proba(images), np.asarray(reconstructions), strict=True
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
  """Return the images that can be read, and their paths; name the others on standard error."""
  height, width, channels = shape
  images, positions, unreadable = images_lib.read_all(paths, (height, width), channels)
  for path, reason in unreadable:
    print(f'error: {one_line(path)}: {reason}', file=sys.stderr)
  return [paths[position] for position in positions], images


def _folder(workdir: str) -> str:
  """Return the folder of the pictures, made if there is none.

  Raises:
    UserError: if it cannot be made, or if it is the default one and is a link.
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
  """Return the most bytes that the name of a file in a folder may have."""
  try:
    return min(os.pathconf(folder, 'PC_NAME_MAX'), _LONGEST_NAME)
  except (OSError, ValueError):
    return _LONGEST_NAME


def _file_names(paths: Sequence[str], longest: int = _LONGEST_NAME) -> dict[str, str]:
  """Return the name of the picture of each image: the image's name, numbered if it occurs again.

  Args:
    paths: the images; repeated paths count once.
    longest: the most bytes that a name may have.
  """
  names = UniqueNames('.png', longest=longest)
  return {
      path: names.take(os.path.splitext(os.path.basename(path))[0])
      for path in dict.fromkeys(paths)
  }


def _save(picture: Image.Image, path: str) -> None:
  """Write a PNG file; replace a link with its name, not the file to which the link leads."""
  content = io.BytesIO()
  picture.save(content, format='PNG')
  files.write_bytes(path, content.getvalue(), follow=False)


def describe(probabilities: np.ndarray, class_names: Sequence[str], count: int) -> str:
  """Return the most probable classes with their probabilities in percent, the greatest first."""
  order = np.argsort(-probabilities, kind='stable')[:count]
  return ', '.join(f'{class_names[index]} {100 * probabilities[index]:.1f} %' for index in order)


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


if __name__ == '__main__':
  cli.run(main, needs_config=False)
