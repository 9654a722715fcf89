"""A classifier for scikit-learn: its pipelines, searches and conventions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from multiscale_inversion import recipes
from multiscale_inversion.fitting import Named, fit

_UNLABELED = -1
_SEEDS = 2**31 - 1


# Arrays of several axes are images and sequences.
_CHECKS: dict[str, Any] = {'dtype': [np.float32, np.uint8], 'allow_nd': True}


class SemiSupervisedClassifier(ClassifierMixin, BaseEstimator):
  """Train a network on labeled and unlabeled observations, as scikit-learn's estimators do.

  In `y`, -1 stands for "no label", as in `sklearn.semi_supervised`. Labels of other types than
  numbers have no such value: give their codes. See `multiscale_inversion.fit` for what is trained.

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
    X, y = validate_data(self, X, y, **_CHECKS)
    check_classification_targets(y)
    has_label = np.ones(len(y), bool)
    if np.issubdtype(y.dtype, np.number):
      has_label = y != _UNLABELED
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

  def _seed(self) -> int:
    if isinstance(self.random_state, int | np.integer):
      return int(self.random_state)
    return int(check_random_state(self.random_state).randint(_SEEDS))
