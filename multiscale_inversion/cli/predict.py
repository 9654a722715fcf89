"""Classify images with a trained network: `multiscale-inversion predict --workdir=DIR IMAGE...`.

DIR is the folder of a run on any images, or a file that `TrainedNetwork.save` wrote. An argument is
a PNG or JPEG file or a folder, which stands for all such files inside it. Each image is read like
those of the data set `folder`: turned upright, stretched to the size that the network takes, and
made grey if the network takes grey images. A line shows its most probable classes, three or
`--top=N`:

    IMAGE: cat 93.1 %, dog 5.2 %, bird 1.1 %

With `--threshold=0.9` an image whose most probable class is less probable than that is `undecided`
(in a table its class is empty, in JSON null), and their number is said at the end.

`--format=csv` writes a table with a column for the probability of each class, and `--format=json`
an object a line. With `--pictures`, or `--out=FOLDER`, a PNG file is written for each image to that
folder (default: DIR/predictions). It shows the image as the network takes it and, to its right, the
reconstruction r^(0) (Eq. 7) on the same scale of grey levels or colors. In a run of several seeds,
the network is that of the first seed or of `--seed=S`. `--config=FILE` names the file that
registers a custom network. An image that cannot be read is named, and the others are still
classified; any number of them takes little memory.
In a checkout, `python -m experiments.predict` is the same program.
Exit status: 0 done, 1 an image could not be read, 2 wrong input, 74 standard output cannot be
written, 141 standard output was closed.
"""

import csv
import io
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from absl import flags

from multiscale_inversion import files, loading
from multiscale_inversion.cli import compilation_cache
from multiscale_inversion.cli import program as cli
from multiscale_inversion.cli.pictures import Pictures
from multiscale_inversion.data.sources import image_list
from multiscale_inversion.data.sources import images as images_lib
from multiscale_inversion.errors import UserError
from multiscale_inversion.text import one_line

# Other programs have flags of these names; one process may import several.
flags.DEFINE_string('workdir', None, "The run's folder.", allow_override=True)
_OUT = flags.DEFINE_string('out', None, 'Folder to write pictures to.', allow_override=True)
_TOP = flags.DEFINE_integer('top', 3, 'How many classes to print.', lower_bound=1)
_SEED = flags.DEFINE_integer('seed', None, 'Which network of a run of several seeds.')
_FORMAT = flags.DEFINE_enum('format', 'text', ['text', 'csv', 'json'], 'What is printed.')
_THRESHOLD = flags.DEFINE_float(
    'threshold', 0.0, 'The probability that decides.', 0.0, 1.0, allow_override=True
)
_PICTURES = flags.DEFINE_boolean('pictures', False, 'Write pictures of images and reconstructions.')

_AT_ONCE = 256

Show = Callable[[str, np.ndarray], str]


def main(argv: list[str]) -> int:
  """Run the program; return its exit status."""
  workdir = cli.path_of_network()
  if not argv[1:]:
    raise UserError('no image; allowed: PNG or JPEG files, or folders of them, after the flags')
  compilation_cache.enable()
  network = loading.load(workdir, _SEED.value)
  pictures = Pictures(_folder(workdir)) if _PICTURES.value or _OUT.value else None
  show = _FORMATS[_FORMAT.value](network.class_names)
  num_read, num_given, num_undecided = 0, 0, 0
  for paths in _batches(_once(image_list.find(argv[1:])), _AT_ONCE):
    num_given += len(paths)
    readable, images = _read(paths, network.size_of_images())
    num_read += len(readable)
    if not readable:
      continue
    for path, probabilities in zip(readable, network.predict_proba(images), strict=True):
      print(show(path, probabilities), flush=True)
      num_undecided += _best(probabilities, network.class_names) is None
    if pictures:
      reconstructions = network.invert(images).reconstructions[0]
      pictures.write(readable, images, np.asarray(reconstructions))
  if pictures and num_read:
    print(f'reconstructions: {pictures.folder}', file=sys.stderr)
  if _THRESHOLD.value:
    undecided = f'{num_undecided} of {num_read} undecided'
    print(f'{undecided}, by less than {_THRESHOLD.value:g}', file=sys.stderr)
  return 0 if num_read == num_given else 1


def _once(paths: Iterable[str]) -> Iterator[str]:
  """Yield each path once."""
  seen: set[str] = set()
  for path in paths:
    if path not in seen:
      seen.add(path)
      yield path


def _batches(paths: Iterator[str], size: int) -> Iterator[list[str]]:
  """Yield lists of paths as they come."""
  while batch := [*itertools.islice(paths, size)]:
    yield batch


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
  if os.path.isfile(workdir):
    raise UserError('--pictures: where? allowed: with --out=FOLDER for the network of a file')
  out = os.path.join(workdir, 'predictions')
  if os.path.islink(out):
    raise UserError(f'{out}: a link, not a folder; allowed: --out=DIR to write where it leads')
  files.make_folder(out, '--out')
  return out


def _lines(class_names: Sequence[str]) -> Show:
  """Show an image's most probable classes in a line."""

  def show(path: str, probabilities: np.ndarray) -> str:
    undecided = '' if _best(probabilities, class_names) is not None else 'undecided: '
    return one_line(f'{path}: {undecided}{describe(probabilities, class_names, _TOP.value)}')

  return show


def _best(probabilities: np.ndarray, class_names: Sequence[str]) -> str | None:
  """Return the most probable class; None if it is less probable than the threshold."""
  index = int(probabilities.argmax())
  return class_names[index] if probabilities[index] >= _THRESHOLD.value else None


def _json(class_names: Sequence[str]) -> Show:
  """Show an image as a JSON object."""

  def show(path: str, probabilities: np.ndarray) -> str:
    by_class = dict(zip(class_names, map(_rounded, probabilities), strict=True))
    best = _best(probabilities, class_names)
    return json.dumps({'file': path, 'class': best, 'probabilities': by_class})

  return show


def _csv(class_names: Sequence[str]) -> Show:
  """Show an image as a line of a table; print the line with the names of the columns first."""
  print(_csv_line(['file', 'class', *class_names]), flush=True)

  def show(path: str, probabilities: np.ndarray) -> str:
    best = _best(probabilities, class_names)
    return _csv_line([path, best, *map(_rounded, probabilities)])

  return show


def _csv_line(cells: Sequence[Any]) -> str:
  line = io.StringIO()
  csv.writer(line, lineterminator='').writerow(cells)
  return line.getvalue()


def _rounded(probability: float) -> float:
  return round(float(probability), 6)


_FORMATS = {'text': _lines, 'csv': _csv, 'json': _json}


def describe(probabilities: np.ndarray, class_names: Sequence[str], count: int) -> str:
  """Return the most probable classes with their probabilities in percent, the greatest first."""
  order = np.argsort(-probabilities, kind='stable')[:count]
  return ', '.join(f'{class_names[index]} {100 * probabilities[index]:.1f} %' for index in order)
