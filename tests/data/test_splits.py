import re

import numpy as np
import pytest

from multiscale_inversion.data import split
from multiscale_inversion.errors import UserError


def _labels(counts, seed=0):
  """Labels in random order, counts[c] of class c."""
  return np.random.RandomState(seed).permutation(np.repeat(np.arange(len(counts)), counts))


LABELS = _labels([40, 31, 25, 60, 33])


@pytest.mark.parametrize('num_labeled', [5, 20, 50, 125])
def test_classes_have_equal_shares_where_the_number_divides(num_labeled):
  chosen = split(LABELS, num_labeled, seed=3).labeled
  assert np.bincount(LABELS[chosen]).tolist() == [num_labeled // 5] * 5


@pytest.mark.parametrize('num_labeled', [6, 7, 23, 49])
def test_otherwise_some_classes_have_one_more(num_labeled):
  share, remainder = divmod(num_labeled, 5)
  favoured = set()
  for seed in range(12):
    counts = np.bincount(LABELS[split(LABELS, num_labeled, seed).labeled], minlength=5)
    assert sorted(counts) == [share] * (5 - remainder) + [share + 1] * remainder
    favoured.add(tuple(np.flatnonzero(counts > share)))
  assert len(favoured) > 1  # drawn, not always the first classes


@pytest.mark.parametrize('num_labeled', [5, 7, 50])
@pytest.mark.parametrize('seed', [0, 1, 99])
def test_rest_is_the_complement(num_labeled, seed):
  labeled, unlabeled = split(LABELS, num_labeled, seed)
  assert len(labeled) == num_labeled
  assert len(unlabeled) == len(LABELS) - num_labeled
  assert not set(labeled.tolist()) & set(unlabeled.tolist())
  assert set(labeled.tolist()) | set(unlabeled.tolist()) == set(range(len(LABELS)))
  for positions in (labeled, unlabeled):
    assert positions.dtype == np.int32
    assert (np.diff(positions) > 0).all()


def test_all_keeps_the_labeled_images_among_the_unlabeled():
  rest, everything = split(LABELS, 10, 4), split(LABELS, 10, 4, unlabeled='all')
  np.testing.assert_array_equal(everything.labeled, rest.labeled)
  assert everything.unlabeled.tolist() == list(range(len(LABELS)))
  assert everything.unlabeled.dtype == np.int32


def test_every_image_can_be_labeled():
  balanced = _labels([4, 4, 4])
  labeled, unlabeled = split(balanced, 12, seed=0)
  assert labeled.tolist() == list(range(12))
  assert unlabeled.tolist() == []


def test_the_choice_is_a_function_of_the_seed():
  np.random.seed(1)
  first = split(LABELS, 23, seed=7)
  np.random.seed(2)  # the global generator has no part in it
  again = split(LABELS, 23, seed=7)
  np.testing.assert_array_equal(first.labeled, again.labeled)
  np.testing.assert_array_equal(first.unlabeled, again.unlabeled)
  assert len({tuple(split(LABELS, 23, seed).labeled) for seed in range(10)}) == 10


def test_every_image_of_a_class_is_chosen_as_often():
  labels = _labels([6, 9])
  times = np.zeros(len(labels))
  for seed in range(600):
    times[split(labels, 6, seed).labeled] += 1
  # 3 of 6, and 3 of 9: binomial, with standard deviations of 12.
  np.testing.assert_allclose(times, np.where(labels == 0, 300, 200), atol=60)


@pytest.mark.parametrize('num_labeled', [-1, 0, 4, 190])
def test_a_number_out_of_range_is_an_error_that_names_the_range(num_labeled):
  with pytest.raises(UserError) as info:
    split(LABELS, num_labeled, seed=0)
  assert str(info.value) == (
      f'num_labeled: {num_labeled}; allowed: 5 (one a class) to 189'
  )


@pytest.mark.parametrize('counts', [[10, 3, 8], [10, 3, 1]])
def test_a_class_with_too_few_images_is_an_error_whose_advice_works(counts):
  labels = _labels(counts)
  with pytest.raises(UserError, match='which has') as info:
    split(labels, 12, seed=0)
  message = str(info.value)
  assert '\n' not in message
  label, has = re.search(r'takes 4 images of class (\d), which has (\d+)', message).groups()
  assert int(has) == counts[int(label)] < 4
  allowed = int(re.search(r'allowed: at most (\d+)', message).group(1))
  assert allowed == 3 * min(counts)
  split(labels, allowed, seed=0)


def test_a_class_with_too_few_images_is_named():
  labels = _labels([10, 3, 8])
  with pytest.raises(UserError, match='takes 4 images of class a tapir, which has 3;'):
    split(labels, 12, seed=0, class_names=('cat', 'a tapir', 'dog'))


def test_an_unknown_choice_of_unlabeled_is_an_error_that_lists_the_choices():
  with pytest.raises(UserError) as info:
    split(LABELS, 5, 0, unlabeled='some')
  assert str(info.value) == "unlabeled: unknown 'some'; allowed: rest, all"


# Unequal classes.


@pytest.mark.parametrize(('counts', 'num_labeled', 'wanted'), [
  ([400, 310, 250, 40], 10, [4, 3, 2, 1]),  # quotas of 4, 3.1, 2.5, 0.4: one at least
  ([400, 310, 250, 40], 100, [40, 31, 25, 4]),
  ([400, 310, 250, 40], 4, [1, 1, 1, 1]),
  ([990, 5, 5], 10, [8, 1, 1]),
  ([3, 3, 3], 7, [3, 2, 2]),
  ([3, 2, 1], 6, [3, 2, 1]),
])
def test_natural_proportions(counts, num_labeled, wanted):
  labels = _labels(counts)
  for seed in (0, 1):
    chosen = split(labels, num_labeled, seed, proportions='natural').labeled
    assert np.bincount(labels[chosen]).tolist() == wanted
  other = split(labels, num_labeled, 5, proportions='natural').labeled
  assert num_labeled == sum(counts) or chosen.tolist() != other.tolist()


def test_numbers_of_each_class():
  wanted = [3, 1, 25, 2, 7]
  chosen = split(LABELS, None, seed=0, labels_per_class=wanted).labeled
  assert np.bincount(LABELS[chosen]).tolist() == wanted
  same = split(LABELS, sum(wanted), seed=0, labels_per_class=wanted)
  assert same.labeled.tolist() == chosen.tolist()


@pytest.mark.parametrize(('changes', 'message'), [
  ({'labels_per_class': [1, 1]}, 'labels_per_class: 2 numbers; allowed: 5, one for each class'),
  ({'labels_per_class': [1, 1, 26, 1, 1]},
   'labels_per_class: 30 takes 26 images of class c, which has 25; allowed: at most 25 of it'),
  ({'labels_per_class': [1, 1, 0, 1, 1]}, 'labels_per_class: 0 is out of range'),
  ({'labels_per_class': [1, 1, 1, 1, 1], 'num_labeled': 6},
   'labels_per_class: 5 labels in all, but num_labeled=6'),
  ({'proportions': 'odd', 'num_labeled': 5}, "proportions: unknown 'odd'; allowed: equal, natural"),
])
def test_wrong_proportions(changes, message):
  with pytest.raises(UserError, match=re.escape(message)):
    split(LABELS, **{'num_labeled': None, 'seed': 0, 'class_names': 'abcde', **changes})
