"""The quality of predictions, against counts made one observation at a time."""

import math

import numpy as np
import pytest

from multiscale_inversion import UserError, quality

NAMES = ('cat', 'dog', 'bird', 'a class with a very long name')


def predictions(count=500, seed=0):
  random = np.random.RandomState(seed)
  logits = random.randn(count, 4) * 2
  probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  return probabilities.astype(np.float32), random.randint(0, 4, count)


def test_by_counting():
  probabilities, labels = predictions()
  found = quality.measure(probabilities, labels, NAMES)
  confusion = [[0] * 4 for _ in range(4)]
  nats = wrong = 0.0
  for p, label in zip(probabilities.tolist(), labels.tolist()):
    taken = p.index(max(p))
    confusion[label][taken] += 1
    wrong += taken != label
    nats -= math.log(p[label])
  assert found.error == pytest.approx(100 * wrong / 500)
  assert found.cross_entropy == pytest.approx(nats / 500, rel=1e-6)
  np.testing.assert_array_equal(found.confusion, confusion)
  for k in range(4):
    assert found.recall[k] == pytest.approx(confusion[k][k] / sum(confusion[k]))
    assert found.precision[k] == pytest.approx(confusion[k][k] / sum(row[k] for row in confusion))


@pytest.mark.parametrize('seed', range(3))
def test_calibration_by_the_papers_bins(seed):
  """Guo et al., Eq. 3: sum over bins ((m - 1) / M, m / M] of |B_m| / n |acc - conf|."""
  probabilities, labels = predictions(60, seed)
  total = 0.0
  for m in range(1, 16):
    inside = [
      (max(p), p.index(max(p)) == label)
      for p, label in zip(probabilities.astype(float).tolist(), labels.tolist())
      if (m - 1) / 15 < max(p) <= m / 15
    ]
    if inside:
      confidence = sum(c for c, _ in inside) / len(inside)
      accuracy = sum(right for _, right in inside) / len(inside)
      total += len(inside) / 60 * abs(accuracy - confidence)
  assert quality.calibration_error(probabilities, labels) == pytest.approx(total, rel=1e-6)


def test_certain_and_right_is_calibrated_and_certain_and_wrong_is_not():
  certain = np.eye(4, dtype=np.float32)
  assert quality.calibration_error(certain, np.arange(4)) == 0
  assert quality.calibration_error(certain, (np.arange(4) + 1) % 4) == 1
  wrong = quality.measure(certain, (np.arange(4) + 1) % 4, NAMES)
  assert wrong.error == 100 and np.isfinite(wrong.cross_entropy)


def test_classes_without_observations():
  probabilities, _ = predictions(3)
  probabilities[:, 2] = 0
  found = quality.measure(probabilities, np.zeros(3, int), NAMES)
  assert np.isnan(found.precision[2]) and np.isnan(found.recall[1:]).all()
  text = str(found)
  assert text.count('\n') == 6 and 'nan' not in text
  assert max(map(len, text.splitlines())) <= 80


def test_the_table_names_the_most_frequent_confusion():
  certain = np.eye(4, dtype=np.float32)[[1, 1, 0, 2, 3]]
  text = str(quality.measure(certain, np.array([0, 0, 0, 2, 3]), NAMES))
  assert text.splitlines()[0].startswith('error 40.00 %, cross-entropy ')
  assert text.splitlines()[1] == "balanced error, the mean of the classes': 22.22 %"
  cat = text.splitlines()[3].split()
  assert cat == ['cat', '3', '100.0', '33.3', 'dog', '(2)']
  assert text.splitlines()[5].split()[-1] == '-'


@pytest.mark.parametrize(('labels', 'message'), [
  (np.zeros(3), 'labels of float64 and shape \\(3,\\); allowed: integers, \\(4,\\)'),
  (np.zeros(3, int), 'labels of int64 and shape \\(3,\\); allowed: integers, \\(4,\\)'),
  (np.array([0, 1, 2, 4]), 'labels from 0 to 4; allowed: 0 to 3'),
  (np.array([0, 1, 2, -1]), 'labels from -1 to 2; allowed: 0 to 3'),
])
def test_wrong_labels(labels, message):
  with pytest.raises(UserError, match=message):
    quality.measure(predictions(4)[0], labels, NAMES)


def test_no_observation():
  with pytest.raises(UserError, match='labels: none; allowed: at least one observation'):
    quality.measure(np.zeros((0, 4), np.float32), np.zeros(0, int), NAMES)


@pytest.mark.parametrize('threshold', [0.0, 0.5, 0.9])
def test_decided_by_counting(threshold):
  probabilities, labels = predictions()
  decided = [(p, label) for p, label in zip(probabilities.tolist(), labels) if max(p) >= threshold]
  wrong = sum(p.index(max(p)) != label for p, label in decided)
  found = quality.of_decided(probabilities, labels, threshold)
  assert found.coverage == pytest.approx(len(decided) / 500)
  assert found.error == pytest.approx(100 * wrong / len(decided))
  assert len(decided) > 0 and (len(decided) < 500) == bool(threshold)


def test_none_decided():
  coverage, error = quality.of_decided(np.array([[0.6, 0.4]]), np.array([0]), 0.7)
  assert coverage == 0 and math.isnan(error)
