"""The estimator by scikit-learn's own checks, and in its pipelines and searches."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import multiscale_inversion as mi

pytestmark = [
  pytest.mark.usefixtures('quick_compilation'),
  pytest.mark.filterwarnings('ignore::sklearn.exceptions.SkipTestWarning'),
]

# By name: why it cannot hold.
CANNOT_HOLD = {
  'check_classifiers_classes': 'it takes -1 as a label, which means "no label" here',
}
SMALL = {'network': {'name': 'mlp', 'width': 16, 'depth': 1}, 'num_steps': 20, 'random_state': 0}


def test_scikit_learns_checks():
  network = {'name': 'mlp', 'depth': 1, 'width': 128}
  estimator = mi.SemiSupervisedClassifier(network, num_steps=60, random_state=0)
  results = check_estimator(estimator, expected_failed_checks=CANNOT_HOLD, on_fail=None)
  found = {}
  for one in results:
    found.setdefault(one['status'], []).append(one['check_name'])
  assert not found.get('failed')
  assert set(found['xfail']) == set(CANNOT_HOLD)  # or it holds by now
  assert len(found['passed']) >= 45


def blobs():
  x, y = make_blobs(120, centers=3, random_state=0)
  return x.astype(np.float32), y, np.where(np.arange(120) < 30, y, -1)


def test_labels_of_any_numbers_and_without_a_label():
  x, y, some = blobs()
  codes = np.array([7, 3, 20])
  estimator = mi.SemiSupervisedClassifier(num_steps=60, random_state=0)
  estimator.fit(x, np.where(some >= 0, codes[some], -1))
  assert estimator.classes_.tolist() == [3, 7, 20]
  assert estimator.score(x, codes[y]) > 0.8
  assert estimator.network_.class_names == ('3', '7', '20')
  same = mi.fit(
    x, np.searchsorted([-1, 3, 7, 20], np.where(some >= 0, codes[some], -1)) - 1, num_steps=60,
    class_names=['3', '7', '20'], progress=False,
  )
  np.testing.assert_array_equal(estimator.predict_proba(x), same.predict_proba(x))


def test_only_labels_are_scored():
  x, y, some = blobs()
  estimator = mi.SemiSupervisedClassifier(**SMALL).fit(x, some)
  right = (estimator.predict(x) == y)[:30]
  assert estimator.score(x, some) == pytest.approx(right.mean())
  weights = np.arange(120.0)
  weighted = np.sum(right * weights[:30]) / np.sum(weights[:30])
  assert estimator.score(x, some, weights) == pytest.approx(weighted)
  with pytest.raises(ValueError, match='no label'):
    estimator.score(x, np.full(120, -1))


@pytest.mark.parametrize('last', [-1, '-1', 2])
def test_strings_have_no_value_for_no_label(last):
  x, y, _ = blobs()
  names = [*(f'class {label}' for label in y[:-1]), last]
  with pytest.raises(ValueError, match='y: strings, and among them -1'):
    mi.SemiSupervisedClassifier(**SMALL).fit(x, names)


def test_strings():
  x, y, _ = blobs()
  names = np.array(['cat', 'dog', 'bird'])[y]
  estimator = mi.SemiSupervisedClassifier(**SMALL).fit(x, names)
  assert estimator.classes_.tolist() == ['bird', 'cat', 'dog']
  assert set(estimator.predict(x)) <= set(estimator.classes_)


def test_images():
  digits = load_digits()
  x, y = digits.images[:60, :, :, None].astype(np.uint8), digits.target[:60]
  network = {'name': 'resnet', 'width': 2, 'blocks_per_group': 1}
  estimator = mi.SemiSupervisedClassifier(network, num_steps=2, random_state=0).fit(x, y)
  assert estimator.predict(x).shape == (60,)
  assert estimator.network_.image_shape == (8, 8, 1)


def test_in_a_pipeline_and_a_search():
  x, y, some = blobs()
  pipeline = make_pipeline(StandardScaler(), mi.SemiSupervisedClassifier(**SMALL))
  search = GridSearchCV(
    pipeline, {'semisupervisedclassifier__learning_rate': [1e-6, 0.02]}, cv=2
  ).fit(x, y)
  assert search.best_params_ == {'semisupervisedclassifier__learning_rate': 0.02}
  assert search.predict(x).shape == y.shape
  assert pipeline.fit(x, some).predict_proba(x).shape == (120, 3)


def test_clones_and_pickles():
  x, y, _ = blobs()
  estimator = mi.SemiSupervisedClassifier(**SMALL)
  assert clone(estimator).get_params() == estimator.get_params()
  estimator.fit(x, y)
  again = pickle.loads(pickle.dumps(estimator))
  np.testing.assert_array_equal(again.predict_proba(x), estimator.predict_proba(x))
  same = clone(estimator).fit(x, y)
  np.testing.assert_array_equal(same.predict_proba(x), estimator.predict_proba(x))


def test_options_and_progress(capfd):
  x, y, _ = blobs()
  estimator = mi.SemiSupervisedClassifier(
    **SMALL, batch_size=20, options={'rematerialize': True}, verbose=True
  )
  estimator.fit(x, y)
  assert 'arrays: 120 labeled, 120 unlabeled' in capfd.readouterr().err
  with pytest.raises(ValueError, match='not an option of fit'):
    mi.SemiSupervisedClassifier(**SMALL, options={'fast': True}).fit(x, y)
  with pytest.raises(ValueError, match='y has 1 class; allowed: at least 2'):
    mi.SemiSupervisedClassifier(**SMALL).fit(x, np.where(y == 0, 0, -1))
