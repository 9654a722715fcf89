"""Choose which training images are labeled."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from multiscale_inversion.errors import HUGE, UserError, check_choice, check_whole

UNLABELED = ('rest', 'all')


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
) -> Split:
  """Choose labeled images at random, balanced over the classes.

  Args:
    labels: the training set's classes, integers from 0, shape [N]; -1 where an image has no label
      and so belongs to D_u.
    num_labeled: how many to choose; all that have a label if None. If it is not a multiple of the
      number of classes, randomly drawn classes get one more.
    seed: a non-negative integer that determines the choice.
    unlabeled: `rest`: D_u is the training set without the labeled images; `all`: all of it.
    class_names: names of the classes for errors; their numbers unless given.

  Raises:
    UserError: if there are fewer labels than classes, or a class has too few images.
  """
  check_choice('unlabeled', unlabeled, UNLABELED)
  labels = np.asarray(labels)
  if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
    raise UserError(
        f'labels: of shape {labels.shape} and type {labels.dtype}; allowed: integers, shape (N,)'
    )
  check_whole('seed', seed, 0, 2**32 - 1)
  everything = np.arange(len(labels), dtype=np.int32)
  having_label = everything[labels >= 0]
  if num_labeled is None:
    return _split(having_label, everything, unlabeled)
  check_whole('num_labeled', num_labeled, -HUGE)  # its range is named below
  classes = np.unique(labels[having_label])
  most = len(having_label)
  if not 0 < len(classes) <= num_labeled <= most:
    raise UserError(
        f'{num_labeled}; allowed: {len(classes)} (one a class) to {most}',
        'num_labeled',
    )
  smallest = min(int(np.sum(labels == label)) for label in classes)
  random = np.random.RandomState(seed)
  share, remainder = divmod(num_labeled, len(classes))
  more = set(random.permutation(classes)[:remainder])
  chosen = []
  for label in classes:
    members, wanted = np.flatnonzero(labels == label), share + (label in more)
    if wanted > len(members):
      name = label if class_names is None else class_names[label]
      raise UserError(
          f'{num_labeled} takes {wanted} images of class {name}, which has '
          f'{len(members)}; allowed: at most {len(classes) * smallest}',
          'num_labeled',
      )
    chosen.append(random.permutation(members)[:wanted])
  labeled = np.sort(np.concatenate(chosen)).astype(np.int32)
  return _split(labeled, everything, unlabeled)


def _split(labeled: np.ndarray, everything: np.ndarray, unlabeled: str) -> Split:
  return Split(labeled, np.setdiff1d(everything, labeled) if unlabeled == 'rest' else everything)
