"""Measure a trained network: `multiscale-inversion evaluate --workdir=DIR [IMAGES]`.

DIR is the folder of a run, or a file that `TrainedNetwork.save` wrote. IMAGES is a folder with one
sub-folder for each class, or a CSV file with the columns `file` and `label`; where they have a part
for testing, it alone counts. Unless given, it is the test set of the run. Shown are the error, the
cross-entropy, the expected calibration error and, for each class, precision, recall and the class
that it is most often taken for; with `--format=json` an object that has the confusion matrix, too.
`--threshold=0.9` adds the share of images whose most probable class has at least that probability,
and the error among them.
In a run of several seeds, the network is that of the first seed or of `--seed=S`. `--config=FILE`
names the file that registers a custom network.
Exit status: 0 done, 2 wrong input.
"""

import json
import os
import sys

import numpy as np
from absl import flags

from multiscale_inversion import loading, quality
from multiscale_inversion.cli import compilation_cache
from multiscale_inversion.cli import program as cli
from multiscale_inversion.data.sources import labeled_images
from multiscale_inversion.errors import UserError, named_as_keys
from multiscale_inversion.runs import build
from multiscale_inversion.runs.display import show_skipped
from multiscale_inversion.runs.folder import RunFolder
from multiscale_inversion.trained import TrainedNetwork

# Other programs have flags of these names; one process may import several.
flags.DEFINE_string('workdir', None, "The run's folder.", allow_override=True)
_SEED = flags.DEFINE_integer(
    'seed', None, 'Which network of a run of several seeds.', allow_override=True
)
_THRESHOLD = flags.DEFINE_float(
    'threshold', 0.0, 'The probability that decides.', 0.0, 1.0, allow_override=True
)
_FORMAT = flags.DEFINE_enum(
    'format', 'text', ['text', 'json'], 'What is printed.', allow_override=True
)


def main(argv: list[str]) -> int:
  """Run the program; return its exit status."""
  workdir = cli.path_of_network()
  if len(argv) > 2:
    raise UserError(f'{argv[2]}: one too many; allowed: one folder or CSV file of images')
  compilation_cache.enable()
  network = loading.load(workdir, _SEED.value)
  found, labels = _given(argv[1], network) if argv[1:] else _of_run(workdir)
  probabilities = network.predict_proba(found)
  measured = quality.measure(probabilities, labels, network.class_names)
  threshold = _THRESHOLD.value
  decided = quality.of_decided(probabilities, labels, threshold) if threshold else None
  if _FORMAT.value == 'json':
    print(json.dumps(_record(measured) | (_record_of_decided(decided) if decided else {})))
    return 0
  print(measured)
  if decided:
    print(
        f'decided by at least {threshold:g}: {100 * decided.coverage:.1f} % of the images, '
        f'error {decided.error:.2f} %'
    )
  return 0


def _given(path: str, network: TrainedNetwork) -> tuple[np.ndarray, np.ndarray]:
  """Read the images of a folder or a CSV file that have a label."""
  with named_as_keys(data_dir='IMAGES'):
    found, labels, skipped = labeled_images.read(
        path, network.class_names, network.size_of_images()
    )
  show_skipped(skipped)
  print(f'{path}: {len(found)} images with a label', file=sys.stderr)
  return found, labels


def _of_run(workdir: str) -> tuple[np.ndarray, np.ndarray]:
  """Load the test set of a run."""
  if os.path.isfile(workdir):
    raise UserError(f'{workdir}: a network alone; allowed: with a folder or a CSV file of images')
  run = RunFolder(workdir).summary()
  dataset = build.load_dataset(run.configuration)
  if not len(dataset.test_images):
    raise UserError(f'{workdir}: of a data set without test images; allowed: with images')
  print(f'{dataset.name}: {len(dataset.test_images)} test images', file=sys.stderr)
  return dataset.test_images, dataset.test_labels


def _record_of_decided(decided: quality.Decided) -> dict[str, object]:
  """Return the figures of a threshold for JSON; the error of no image is null."""
  error = None if np.isnan(decided.error) else decided.error
  found = {'threshold': _THRESHOLD.value, 'coverage': decided.coverage}
  return {**found, 'error_of_decided': error}


def _record(measured: quality.Quality) -> dict[str, object]:
  """Return the figures for JSON, undefined shares as null."""
  shares = lambda values: [None if np.isnan(value) else float(value) for value in values]
  return {
      'error': measured.error,
      'balanced_error': measured.balanced_error,
      'cross_entropy': measured.cross_entropy,
      'calibration_error': measured.calibration_error,
      'class_names': list(measured.class_names),
      'confusion': measured.confusion.tolist(),
      'precision': shares(measured.precision),
      'recall': shares(measured.recall),
  }
