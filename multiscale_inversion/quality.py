"""How well a network classifies: errors, confusions, and the calibration of its probabilities."""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from multiscale_inversion.errors import UserError

_BINS = 15
_WIDEST = 12  # characters of a class's name in a table


@dataclasses.dataclass(frozen=True)
class Quality:
  """The quality of predictions for N observations of C classes.

  Attributes:
    error: share that is classified wrongly, in percent.
    cross_entropy: mean of -ln of the true class's probability, in nats.
    confusion: int, shape [C, C]; how many of the row's class were predicted as the column's.
    precision: float, shape [C]; share of the observations predicted as a class that belong to it,
      in [0, 1]; NaN where there is none.
    recall: float, shape [C]; share of a class's observations that are predicted as it, in [0, 1];
      NaN where there is none.
    calibration_error: expected calibration error in [0, 1], see `calibration_error`.
    class_names: the classes.
  """

  error: float
  cross_entropy: float
  confusion: np.ndarray
  precision: np.ndarray
  recall: np.ndarray
  calibration_error: float
  class_names: tuple[str, ...]

  @property
  def balanced_error(self) -> float:
    """The mean of the classes' errors, in percent; see `balanced_error`."""
    return balanced_error(self.confusion)

  def __str__(self) -> str:
    """Return the figures, and a line for each class."""
    shares = lambda share: '-' if np.isnan(share) else f'{100 * share:.1f}'
    names = [name[:_WIDEST] for name in self.class_names]
    width = max(len('class'), *map(len, names))
    lines = [
        f'error {self.error:.2f} %, cross-entropy {self.cross_entropy:.4g} nats, '
        f'calibration error {100 * self.calibration_error:.2f} %',
        f'balanced error, the mean of the classes\': {self.balanced_error:.2f} %',
        f'{"class":{width}}  count  precision, %  recall, %  most often taken for',
    ]
    for index, name in enumerate(names):
      row = self.confusion[index].copy()
      count, row[index] = row.sum(), 0
      other = int(row.argmax())
      taken = f'{self.class_names[other]} ({row[other]})' if row[other] else '-'
      lines.append(
          f'{name:{width}}  {count:5d}  {shares(self.precision[index]):>12}  '
          f'{shares(self.recall[index]):>9}  {taken}'
      )
    return '\n'.join(lines)


def class_errors(confusion: np.ndarray) -> np.ndarray:
  """Return each class's error in percent, shape [C]; NaN for a class without observations.

  Args:
    confusion: shape [C, C]; how many of the row's class were predicted as the column's.
  """
  confusion = np.asarray(confusion, np.float64)
  count = confusion.sum(1)
  with np.errstate(invalid='ignore', divide='ignore'):
    return 100 * (1 - np.diagonal(confusion) / np.where(count, count, np.nan))


def balanced_error(confusion: np.ndarray) -> float:
  """Return the mean of the errors of the classes that have observations, in percent.

  It counts rare classes as much as frequent ones (100 less the mean recall; Brodersen et al., "The
  Balanced Accuracy and Its Posterior Distribution", ICPR 2010).

  Args:
    confusion: shape [C, C], not all zero.
  """
  return float(np.nanmean(class_errors(confusion)))


def measure(
    probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> Quality:
  """Compare probabilities with the true classes.

  Args:
    probabilities: shape [N, C], N at least 1.
    labels: integers, shape [N], in 0 to C - 1.
    class_names: the names of the C classes.

  Raises:
    UserError: if there is no observation, or a label is none of the classes.
  """
  from sklearn import metrics  # noqa: PLC0415 (slow to load)

  labels, most = np.asarray(labels), len(class_names) - 1
  if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (len(probabilities),):
    raise UserError(
        f'labels of {labels.dtype} and shape {labels.shape}; allowed: integers, '
        f'({len(probabilities)},)'
    )
  if not len(labels):
    raise UserError('labels: none; allowed: at least one observation')
  if labels.min() < 0 or labels.max() > most:
    raise UserError(f'labels from {labels.min()} to {labels.max()}; allowed: 0 to {most}')
  predicted, classes = probabilities.argmax(-1), np.arange(len(class_names))
  precision, recall, _, _ = metrics.precision_recall_fscore_support(
      labels, predicted, labels=classes, zero_division=np.nan
  )
  of_true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
  tiny = np.finfo(np.float32).tiny
  return Quality(
      error=100 * float(np.mean(predicted != labels)),
      cross_entropy=float(-np.mean(np.log(np.maximum(of_true, tiny)))),
      confusion=metrics.confusion_matrix(labels, predicted, labels=classes),
      precision=np.asarray(precision),
      recall=np.asarray(recall),
      calibration_error=calibration_error(probabilities, labels),
      class_names=tuple(class_names),
  )


class Decided(NamedTuple):
  """The quality where a classifier may abstain.

  Attributes:
    coverage: share of the observations that are decided, in [0, 1].
    error: share of these that is classified wrongly, in percent; NaN if there is none.
  """

  coverage: float
  error: float


def of_decided(probabilities: np.ndarray, labels: np.ndarray, threshold: float) -> Decided:
  """Measure the predictions whose probability is at least a threshold.

  Abstaining from the others trades coverage for risk (El-Yaniv and Wiener, "On the Foundations of
  Noise-free Selective Classification", JMLR 2010).

  Args:
    probabilities: shape [N, C], N at least 1.
    labels: integers, shape [N].
    threshold: in [0, 1].
  """
  decided = probabilities.max(-1) >= threshold
  wrong = probabilities.argmax(-1)[decided] != np.asarray(labels)[decided]
  return Decided(float(decided.mean()), 100 * float(wrong.mean()) if wrong.size else math.nan)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = _BINS) -> float:
  """Return the expected calibration error (Guo et al., 2017, arXiv:1706.04599, Eq. 3).

  Observations are put into bins of equal width by the probability of the predicted class. In each
  bin the share that is right is compared with the mean of these probabilities; the result is the
  mean of the absolute differences over all observations.

  Args:
    probabilities: shape [N, C].
    labels: integers, shape [N].
    bins: number of bins.
  """
  confidence = probabilities.max(-1).astype(np.float64)
  right = probabilities.argmax(-1) == labels
  # Bins are open below and closed above, as in the paper.
  places = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
  surplus = np.bincount(places, confidence - right, bins)
  return float(np.abs(surplus).sum() / len(labels))
