"""Choose which training images are labeled."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from multiscale_inversion.errors import HUGE, UserError, check_choice, check_whole

UNLABELED = ('rest', 'all')
PROPORTIONS = ('equal', 'natural')


class Split(NamedTuple):
  """Positions in the training set, int32, ascending.

  Attributes:
    labeled: D_s, shape [num_labeled].
    unlabeled: D_u.
  """

  labeled: np.ndarray
  unlabeled: np.ndarray


def split(
    labels: np.ndarray,
    num_labeled: int | None,
    seed: int,
    unlabeled: str = 'rest',
    class_names: Sequence[str] | None = None,
    proportions: str = 'equal',
    labels_per_class: Sequence[int] | None = None,
) -> Split:
  """Choose labeled images at random, with a number of each class.

  Args:
    labels: the training set's classes, integers from 0, shape [N]; -1 where an image has no label
      and so belongs to D_u.
    num_labeled: how many to choose; all that have a label if None.
    seed: a non-negative integer that determines the choice.
    unlabeled: `rest`: D_u is the training set without the labeled images; `all`: all of it.
    class_names: names of the classes for errors; their numbers unless given.
    proportions: `equal`: as many of each class; if `num_labeled` is not a multiple of the number of
      classes, randomly drawn classes get one more. `natural`: in proportion to the images of each
      class that have a label, rounded by largest remainders, and at least one of each.
    labels_per_class: how many of each class that has labels, in the classes' order, in place of
      `num_labeled` and `proportions`.

  Raises:
    UserError: if there are fewer labels than classes, or a class has too few images.
  """
  check_choice('unlabeled', unlabeled, UNLABELED)
  check_choice('proportions', proportions, PROPORTIONS)
  labels = np.asarray(labels)
  if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
    raise UserError(
        f'labels: of shape {labels.shape} and type {labels.dtype}; allowed: integers, shape (N,)'
    )
  check_whole('seed', seed, 0, 2**32 - 1)
  everything = np.arange(len(labels), dtype=np.int32)
  having_label = everything[labels >= 0]
  classes = np.unique(labels[having_label])
  if labels_per_class is not None:
    num_labeled = _sum_of(labels_per_class, num_labeled, len(classes))
  if num_labeled is None:
    return _split(having_label, everything, unlabeled)
  check_whole('num_labeled', num_labeled, -HUGE)  # its range is named below
  most = len(having_label)
  if not 0 < len(classes) <= num_labeled <= most:
    raise UserError(
        f'{num_labeled}; allowed: {len(classes)} (one a class) to {most}',
        'num_labeled',
    )
  sizes = [int(np.sum(labels == label)) for label in classes]
  random = np.random.RandomState(seed)
  if labels_per_class is not None:
    counts = [*labels_per_class]
  elif proportions == 'natural':
    counts = _in_proportion(num_labeled, sizes)
  else:
    share, remainder = divmod(num_labeled, len(classes))
    more = set(random.permutation(classes)[:remainder])
    counts = [share + (label in more) for label in classes]
  chosen = []
  for label, wanted in zip(classes, counts, strict=True):
    members = np.flatnonzero(labels == label)
    if wanted > len(members):
      name = label if class_names is None else class_names[label]
      least = f'at most {len(classes) * min(sizes)}, or proportions=natural'
      raise UserError(
          f'{num_labeled} takes {wanted} images of class {name}, which has {len(members)}; '
          f'allowed: {least if labels_per_class is None else f"at most {len(members)} of it"}',
          'num_labeled' if labels_per_class is None else 'labels_per_class',
          mentions=('proportions',),
      )
    chosen.append(random.permutation(members)[:wanted])
  labeled = np.sort(np.concatenate(chosen)).astype(np.int32)
  return _split(labeled, everything, unlabeled)


def _sum_of(labels_per_class: Sequence[int], num_labeled: int | None, num_classes: int) -> int:
  """Return the number of labels in all; check those of each class."""
  for count in labels_per_class:
    check_whole('labels_per_class', count, 1)
  total = sum(labels_per_class)
  if len(labels_per_class) != num_classes:
    raise UserError(
        f'{len(labels_per_class)} numbers; allowed: {num_classes}, one for each class',
        'labels_per_class',
    )
  if num_labeled not in (None, total):
    raise UserError(
        f'{total} labels in all, but num_labeled={num_labeled}; allowed: equal ones, or '
        'num_labeled=None',
        'labels_per_class',
        mentions=('num_labeled',),
    )
  return total


def _in_proportion(total: int, sizes: Sequence[int]) -> list[int]:
  """Share a number out in proportion to sizes, by largest remainders; each gets at least one."""
  quotas = total * np.array(sizes) / sum(sizes)
  counts = np.maximum(np.floor(quotas).astype(int), 1)
  while counts.sum() > total:  # because of the classes that would get none
    counts[np.argmax(np.where(counts > 1, counts - quotas, -np.inf))] -= 1
  while counts.sum() < total:
    counts[np.argmax(np.where(counts < sizes, quotas - counts, -np.inf))] += 1
  return counts.tolist()


def _split(labeled: np.ndarray, everything: np.ndarray, unlabeled: str) -> Split:
  return Split(labeled, np.setdiff1d(everything, labeled) if unlabeled == 'rest' else everything)
