"""The paper's objectives: weighted sums of losses over an inversion (Eq. 5, 6, 8)."""

import numbers
from collections.abc import Iterable, Sequence

import jax.numpy as jnp

from multiscale_inversion import losses
from multiscale_inversion.errors import UserError, check_choice, check_range
from multiscale_inversion.objectives.objective import (
    Loss,
    Objective,
    Term,
    add,
    labeled,
    per_log_classes,
)
from multiscale_inversion.objectives.objective import unlabeled as on_unlabeled

UNLABELED_LOSSES = ('entropy', 'information', 'none')


def labeled_cross_entropy(reduction: str = 'batch') -> Term:
  """Return 1{labeled} L_CE(x, y), the cross-entropy; see `labeled` for the reduction."""
  return labeled(
      lambda inversion, labels, mask: losses.cross_entropy(inversion.activations[-1], labels),
      reduction,
  )


def unlabeled_entropy(reduction: str = 'batch', unlabeled: str = 'entropy') -> Term:
  """Return 1{unlabeled} L_E(x), the entropy, or what takes its place.

  Args:
    reduction: see `labeled`.
    unlabeled: `entropy`, L_E (Eq. 4); `information`, which also keeps the mean prediction spread
      over the classes, see `losses.information`; or `none`, zero.
  """
  check_choice('objective.unlabeled', unlabeled, UNLABELED_LOSSES)

  def term(inversion, labels, mask):
    del labels
    if unlabeled == 'none':
      return jnp.zeros(mask.shape)
    logits = inversion.activations[-1]
    if unlabeled == 'entropy':
      return losses.entropy(logits)
    return losses.information(logits, 1 - mask)

  return on_unlabeled(term, reduction)


def input_reconstruction(*, normalized: bool = True) -> Loss:
  """Return Gamma (Eq. 9) or, if not normalized, L_R (Eq. 3)."""

  def term(inversion, labels, mask):
    del labels, mask
    scale = 1 if normalized else losses.dimension(inversion.activations[0])
    return losses.global_reconstruction(inversion) * scale

  return term


def check_layers(what: str, layers: Sequence[int]) -> None:
  """Raise a `UserError` unless these are different layers, counted from 0."""
  whole = isinstance(layers, Iterable) and all(
      isinstance(layer, numbers.Integral) and layer >= 0 for layer in layers
  )
  if not whole or not len(layers) or len({*layers}) < len(layers):
    raise UserError(f'{what}: {layers!r}; allowed: a tuple of different layers, such as (0, 3)')


def check_layer_weights(what: str, weights: Sequence[float]) -> None:
  """Raise a `UserError` unless these are numbers from 0 up, at least one of them above 0."""
  real = isinstance(weights, Iterable) and all(
      isinstance(weight, numbers.Real) and weight >= 0 for weight in weights
  )
  if not real or not any(weights):
    raise UserError(
        f'{what}: {weights!r}; allowed: a tuple of numbers from 0 up, not all 0, such as (1.0, 0.5)'
    )


def multiscale_reconstruction(
    layers: Sequence[int] | None = None,
    stop_target: bool = False,
    layer_weights: Sequence[float] | None = None,
    form: str = 'output',
) -> Loss:
  """Return Lambda (Eq. 10); see `losses.multiscale_reconstruction` for the arguments.

  Raises:
    UserError: if layers, weights or form are invalid; when the loss is called, if the network does
      not have one of the layers.
  """
  check_choice('objective.form', form, losses.FORMS)
  if layers is not None:
    check_layers('objective.layers', layers)
  if layer_weights is not None:
    check_layer_weights('objective.layer_weights', layer_weights)

  def term(inversion, labels, mask):
    del labels, mask
    return losses.multiscale_reconstruction(inversion, layers, stop_target, layer_weights, form)

  return term


def supervised(reduction: str = 'batch', unlabeled: str = 'entropy') -> Objective:
  """Return the cross-entropy of labeled observations alone.

  Args:
    reduction: see `labeled`.
    unlabeled: has no effect, as unlabeled observations have no loss. It is accepted so that a
      configuration that sets it can be compared with this objective.
  """
  check_choice('objective.unlabeled', unlabeled, UNLABELED_LOSSES)
  return Objective([(1.0, per_log_classes(labeled_cross_entropy(reduction)))], inverts=False)


def entropy(reduction: str = 'batch', unlabeled: str = 'entropy') -> Objective:
  """Return cross-entropy and entropy (Eq. 6 without its reconstruction).

  Minimizing the entropy of unlabeled observations is due to Grandvalet and Bengio,
  "Semi-supervised Learning by Entropy Minimization", NIPS 2004.

  Args:
    reduction: see `labeled`.
    unlabeled: see `unlabeled_entropy`.
  """
  terms = [
      (1.0, per_log_classes(labeled_cross_entropy(reduction))),
      (1.0, per_log_classes(unlabeled_entropy(reduction, unlabeled))),
  ]
  return Objective(terms, inverts=False)


def global_(reduction: str = 'batch', unlabeled: str = 'entropy') -> Objective:
  """Return cross-entropy, entropy, and the reconstruction of the input (Eq. 6, 9).

  Args:
    reduction: see `labeled`.
    unlabeled: see `unlabeled_entropy`.
  """
  return add(entropy(reduction, unlabeled), input_reconstruction())


def multiscale(
    reduction: str = 'batch',
    layers: Sequence[int] | None = None,
    stop_target: bool = False,
    unlabeled: str = 'entropy',
    layer_weights: Sequence[float] | None = None,
    form: str = 'output',
) -> Objective:
  """Return cross-entropy, entropy, and the reconstruction of every layer (Eq. 6 with Eq. 8, 10).

  Args:
    reduction: `batch` or `group`, see `labeled`.
    layers: the layers that count, from 0, ..., L - 1; all unless given.
    stop_target: whether the activations are constant targets of their reconstructions.
    unlabeled: `entropy`, `information` or `none`, see `unlabeled_entropy`.
    layer_weights: weights of the layers that count, in their order; 1/L each unless given.
    form: what is reconstructed from what, see `losses.FORMS`.
  """
  reconstruction = multiscale_reconstruction(layers, stop_target, layer_weights, form)
  return add(entropy(reduction, unlabeled), reconstruction)


def convex(
    alpha: float | None = None,
    beta: float | None = None,
    normalized: bool = False,
    reduction: str = 'batch',
    unlabeled: str = 'entropy',
) -> Objective:
  """Return alpha L_CE + (1 - alpha) beta L_E + (1 - alpha)(1 - beta) L_R (Eq. 5).

  This is the objective of the paper's predecessor.

  Args:
    alpha: weight of the supervised loss, in [0, 1].
    beta: share of the entropy in the rest, in [0, 1].
    normalized: divide L_R by the input's dimension. Eq. 5 does not.
    reduction: `batch` or `group`, see `labeled`.
    unlabeled: `entropy`, `information` or `none`, see `unlabeled_entropy`.

  Raises:
    UserError: if alpha or beta is missing or out of range.
  """
  for name, value in (('alpha', alpha), ('beta', beta)):
    if value is None:
      raise UserError(f'objective.{name}: convex needs it; allowed: [0, 1]')
    check_range(f'objective.{name}', value, 0, 1)
  terms = [
      (alpha, labeled_cross_entropy(reduction)),
      ((1 - alpha) * beta, unlabeled_entropy(reduction, unlabeled)),
      ((1 - alpha) * (1 - beta), input_reconstruction(normalized=normalized)),
  ]
  return Objective(terms)
