"""A classifier for scikit-learn: its pipelines, searches and conventions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from multiscale_inversion import recipes
from multiscale_inversion.fitting import Named, fit

_UNLABELED = -1
_SEEDS = 2**31 - 1


def _check_kind(y: Any) -> None:
  """Raise a `ValueError` for names of classes with -1 among them, which NumPy makes a name, too."""
  given = np.asarray(y, dtype=object).ravel()
  strings = [label for label in given if isinstance(label, str)]
  if strings and (len(strings) < len(given) or str(_UNLABELED) in strings):
    raise ValueError(
        'y: strings, and among them -1 or other numbers; allowed: numbers alone, -1 for none '
        '(sklearn.preprocessing.LabelEncoder makes codes of names)'
    )


def _has_label(y: np.ndarray) -> np.ndarray:
  """Return where labels [N] say a class, bool, shape [N]: everywhere, if they are no numbers."""
  return y != _UNLABELED if np.issubdtype(y.dtype, np.number) else np.ones(len(y), bool)


# Arrays of several axes are images and sequences.
_CHECKS: dict[str, Any] = {'dtype': [np.float32, np.uint8], 'allow_nd': True}


class SemiSupervisedClassifier(ClassifierMixin, BaseEstimator):
  """Train a network on labeled and unlabeled observations, as scikit-learn's estimators do.

  In `y`, -1 stands for "no label", as in `sklearn.semi_supervised`. Labels of other types than
  numbers have no such value: give their codes. See `multiscale_inversion.fit` for what is trained.

  `score` leaves observations without a label out, and so do scikit-learn's searches and
  cross-validations that use it, which is their default. A scorer that is named, such as
  `scoring='accuracy'`, would count each of them as an error.

  Parameters
  ----------
  network : str, mapping or None
      Name, or name and options; None for the network that suits X.
  objective : str or mapping
      Name, or name and options.
  recipe : str
      `few_labels` or `paper`.
  num_steps : int
      Length of the training.
  batch_size : int or None
      Observations in a batch, half of them labeled; None for 50, or less where there are too few.
  learning_rate : float
      Adam's.
  options : mapping or None
      More options of `fit`.
  random_state : int, numpy.random.RandomState or None
      Seed; None for a random one.
  verbose : bool
      Whether to show data and progress on standard error.

  Attributes
  ----------
  classes_ : numpy.ndarray
      The labels, shape [number of classes].
  network_ : TrainedNetwork
      The trained network.
  n_features_in_ : int
      Size of the second axis of X.
  """

  def __init__(
      self,
      network: Named | None = None,
      objective: Named = 'multiscale',
      recipe: str = recipes.FEW_LABELS,
      num_steps: int = 1000,
      batch_size: int | None = None,
      learning_rate: float = 0.002,
      options: Mapping[str, Any] | None = None,
      random_state: Any = None,
      verbose: bool = False,
  ):
    self.network = network
    self.objective = objective
    self.recipe = recipe
    self.num_steps = num_steps
    self.batch_size = batch_size
    self.learning_rate = learning_rate
    self.options = options
    self.random_state = random_state
    self.verbose = verbose

  def fit(self, X: Any, y: Any) -> 'SemiSupervisedClassifier':
    """Train on observations and their labels.

    Args:
      X: shape [N, features], [N, time, features] or [N, H, W, C].
      y: labels, shape [N]; -1 where there is none.

    Raises:
      ValueError: for wrong data or options.
    """
    _check_kind(y)
    X, y = validate_data(self, X, y, **_CHECKS)
    check_classification_targets(y)
    has_label = _has_label(y)
    self.classes_, codes = np.unique(y[has_label], return_inverse=True)
    if len(self.classes_) < 2:
      raise ValueError(f'y has {len(self.classes_)} class; allowed: at least 2 with a label')
    labels = np.full(len(y), _UNLABELED, np.int32)
    labels[has_label] = codes
    more: dict[str, Any] = {} if self.batch_size is None else {'batch_size': self.batch_size}
    more |= self.options or {}
    self.network_ = fit(
        X,
        labels,
        network=self.network,
        objective=self.objective,
        recipe=self.recipe,
        seed=self._seed(),
        class_names=[str(label) for label in self.classes_],
        progress=self.verbose,
        num_steps=self.num_steps,
        learning_rate=self.learning_rate,
        **more,
    )
    return self

  def predict(self, X: Any) -> np.ndarray:
    """Return the most probable label of each observation, shape [N]."""
    positions = self.predict_proba(X).argmax(-1)  # It checks that there has been a fit.
    return self.classes_[positions]

  def predict_proba(self, X: Any) -> np.ndarray:
    """Return the probabilities of the classes, shape [N, number of classes]."""
    check_is_fitted(self)
    X = validate_data(self, X, reset=False, **_CHECKS)
    return self.network_.predict_proba(X)

  def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
    """Return the accuracy in [0, 1] on the observations that have a label.

    Args:
      X: as in `fit`.
      y: labels, shape [N]; -1 where there is none.
      sample_weight: a weight for each observation, shape [N]; equal ones if None.

    Raises:
      ValueError: if no observation has a label, or for wrong data.
    """
    y = np.asarray(y)
    has_label = _has_label(y)
    if not has_label.any():
      raise ValueError('y: no label (-1 means none); allowed: at least one to score by')
    predicted = self.predict(X)
    weights = None if sample_weight is None else np.asarray(sample_weight)[has_label]
    return float(accuracy_score(y[has_label], predicted[has_label], sample_weight=weights))

  def _seed(self) -> int:
    if isinstance(self.random_state, int | np.integer):
      return int(self.random_state)
    return int(check_random_state(self.random_state).randint(_SEEDS))
