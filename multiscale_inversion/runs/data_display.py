"""Says what was read of a data set, and which files were left out."""

import sys
from collections.abc import Sequence

import numpy as np

from multiscale_inversion.cli.text import one_line
from multiscale_inversion.data import Dataset, Sampler
from multiscale_inversion.data.sources.images import Skipped

_SHOWN = 10


def show(dataset: Dataset, sampler: Sampler) -> None:
  """Writes to stderr which files were left out, and what is left."""
  show_skipped(dataset.skipped)
  print(one_line(describe(dataset, sampler)), file=sys.stderr, flush=True)


def describe(dataset: Dataset, sampler: Sampler) -> str:
  """A line with the numbers of images, and how many of each class can be labeled and tested."""
  names = dataset.class_names
  counts = [
      np.bincount(labels[labels >= 0], minlength=len(names))
      for labels in (dataset.train_labels, dataset.test_labels)
  ]
  classes = [f'{name}: {train} + {test}' for name, train, test in zip(names, *counts, strict=True)]
  more = f', {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
  return (
      f'{dataset.name}: {sampler.num_labeled} labeled, {sampler.num_unlabeled} unlabeled, '
      f'{len(dataset.test_labels)} test images; {len(names)} classes, with a label + for testing: '
      f'{", ".join(classes[:_SHOWN])}{more}'
  )


def show_skipped(skipped: Sequence[Skipped]) -> None:
  """Writes a line to stderr for each of the first files, and how many there are."""
  for path, reason in skipped[:_SHOWN]:
    print(one_line(f'warning: {path}: {reason}'), file=sys.stderr)
  if skipped:
    what = 'image was' if len(skipped) == 1 else 'images were'
    more = f', {len(skipped) - _SHOWN} more than are named above' if len(skipped) > _SHOWN else ''
    print(f'warning: {len(skipped)} {what} skipped{more}', file=sys.stderr)
