"""Classify with what one would pick without a deep network: `python -m experiments.classical`.

scikit-learn's classifiers on the labels, unlabeled images and test images of our own runs: the same
seed chooses the same labels.

    python -m experiments.classical --config=experiments/digits_50.py --seeds=200-207 --out=FILE

The configuration gives the data; the rest of it is not used. Options of the classifiers are
scikit-learn's defaults, but for `knn` as the kernel of label spreading: with the default, `rbf`, it
would hold a matrix of all pairs of images. Pixels are divided by the largest of the training set.

`--methods` names those to run, of

    svm               support vector machine with the RBF kernel, on the labeled images alone
    self_training     logistic regression, which labels the unlabeled images it is certain of
    label_spreading   labels spread over the graph of each image's seven nearest neighbors

FILE is a JSON list with one entry for each method and seed. Entries of other methods and seeds that
it holds already stay.
"""

import os
import shlex
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags
from sklearn.base import ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC

from experiments.reporting.classical import ClassicalResult, read_results
from experiments.sweep import parse_seeds
from multiscale_inversion import data, files
from multiscale_inversion.cli import program as cli
from multiscale_inversion.errors import UserError, check_choice
from multiscale_inversion.runs import build, environment
from multiscale_inversion.runs.finished import public_command

_METHODS: dict[str, Callable[[], ClassifierMixin]] = {
    'svm': SVC,
    'self_training': lambda: SelfTrainingClassifier(LogisticRegression(max_iter=_ITERATIONS)),
    'label_spreading': lambda: LabelSpreading(kernel='knn', n_jobs=-1),
}
_ITERATIONS = 1000  # as many as L-BFGS needs to converge
_SUPERVISED = ('svm',)
_UNLABELED = -1  # scikit-learn's sign of an image without label

_OUT = flags.DEFINE_string('out', None, 'JSON file to write.', allow_override=True)
_METHOD_NAMES = flags.DEFINE_list('methods', list(_METHODS), 'Classifiers to run.')
_SEEDS = flags.DEFINE_string('seeds', '0', 'Seeds, as 0-3 or 0,2,5.', allow_override=True)


def main(argv: list[str]) -> int:
  """Run the program; return its exit status."""
  cli.refuse_arguments(argv)
  cli.refuse_flags('distributed', 'distributed_timeout', 'workdir')
  if not _OUT.value:
    raise UserError('--out: missing; allowed: the JSON file to write')
  for method in _METHOD_NAMES.value:
    check_choice('--methods', method, _METHODS)
  files.check_target(_OUT.value)
  config = cli.CONFIG.value
  dataset = build.load_dataset(config)
  found = read_results(_OUT.value) if os.path.exists(_OUT.value) else []
  for seed in parse_seeds(_SEEDS.value):
    split = data.split(
        dataset.train_labels, config.data.num_labeled, seed, config.data.unlabeled,
        dataset.class_names,
    )
    for method in _METHOD_NAMES.value:
      result = classify(method, dataset, split, seed)
      found = [one for one in found if one.key() != result.key()] + [result]
      files.write_json(_OUT.value, [one.to_json() for one in found])
      print(f'{method}, seed {seed}: {result.test_error:.2f} %, {result.wall_time_s:.1f} s')
  return 0


def classify(
    method: str, dataset: data.Dataset, split: data.Split, seed: int
) -> ClassicalResult:
  """Fit a classifier and test it.

  Args:
    method: a name, see the head of this file.
    dataset: the whole data set.
    split: the positions of its labeled and unlabeled training images.
    seed: the seed that the split was drawn with.
  """
  positions = split.labeled
  command = shlex.join(['python', '-m', 'experiments.classical', *sys.argv[1:]])
  labels = dataset.train_labels[split.labeled]
  if method not in _SUPERVISED:
    unlabeled = np.setdiff1d(split.unlabeled, split.labeled)
    positions = np.concatenate([positions, unlabeled])
    labels = np.concatenate([labels, np.full(len(unlabeled), _UNLABELED, labels.dtype)])
  scale = dataset.train_images.max()
  classifier = _METHODS[method]()
  start = time.monotonic()
  # Thirty rounds of spreading, scikit-learn's default, may not reach an image that is linked to
  # no label: it has no distribution yet, and what the classifier makes of it is what counts here.
  with warnings.catch_warnings(), np.errstate(invalid='ignore'):
    warnings.simplefilter('ignore', ConvergenceWarning)
    classifier.fit(_features(dataset.train_images[positions], scale), labels)
    predicted = classifier.predict(_features(dataset.test_images, scale))
  return ClassicalResult(
      method=method,
      seed=seed,
      test_error=100 * float(np.mean(predicted != dataset.test_labels)),
      dataset=dataset.name,
      num_labeled=len(split.labeled),
      wall_time_s=round(time.monotonic() - start, 2),
      origin={
          'options': _options(classifier),
          'command': public_command(command),
          'hardware': environment.hardware(),
          'versions': environment.versions(['scikit-learn']),
          **environment.revision(),
      },
  )


def _features(images: np.ndarray, scale: int) -> np.ndarray:
  """Return the pixels of each image as one vector, divided by `scale`."""
  return images.reshape(len(images), -1).astype(np.float32) / scale


def _options(classifier: ClassifierMixin) -> dict[str, Any]:
  """Return a classifier's own options, for JSON."""
  options = classifier.get_params(deep=False)
  return {k: v if isinstance(v, int | float | str | None) else str(v) for k, v in options.items()}


if __name__ == '__main__':
  cli.run(main)
