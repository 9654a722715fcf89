"""The paper's objectives: weighted sums of losses over an inversion (Eq. 5, 6, 8)."""

import numbers
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, get_args

import jax.numpy as jnp

from multiscale_inversion import losses
from multiscale_inversion.errors import UserError
from multiscale_inversion.objectives.objective import (
    Loss,
    Objective,
    Reduction,
    Term,
    add,
    labeled,
    per_log_classes,
)
from multiscale_inversion.objectives.objective import unlabeled as on_unlabeled
from multiscale_inversion.options import Check, Share, checked

Unlabeled = Literal['entropy', 'information', 'none']
UNLABELED_LOSSES: tuple[str, ...] = get_args(Unlabeled)


def check_layers(what: str, layers: Sequence[int]) -> None:
  """Raise a `UserError` unless these are different layers, counted from 0."""
  whole = isinstance(layers, Iterable) and all(
      isinstance(layer, numbers.Integral) and layer >= 0 for layer in layers
  )
  if not whole or not len(layers) or len({*layers}) < len(layers):
    raise UserError(f'{layers!r}; allowed: a tuple of different layers, such as (0, 3)', what)


def check_layer_weights(what: str, weights: Sequence[float]) -> None:
  """Raise a `UserError` unless these are numbers from 0 up, at least one of them above 0."""
  real = isinstance(weights, Iterable) and all(
      isinstance(weight, numbers.Real) and weight >= 0 for weight in weights
  )
  if not real or not any(weights):
    raise UserError(
        f'{weights!r}; allowed: a tuple of numbers from 0 up, not all 0, such as (1.0, 0.5)', what
    )


LayerNumbers = Annotated[Sequence[int], Check(check_layers, 'different ones, such as (0, 3)')]
LayerWeights = Annotated[
    Sequence[float], Check(check_layer_weights, 'from 0 up, not all 0, such as (1.0, 0.5)')
]


def labeled_cross_entropy(reduction: Reduction = 'batch') -> Term:
  """Return 1{labeled} L_CE(x, y), the cross-entropy; see `labeled` for the reduction."""
  return labeled(
      lambda inversion, labels, mask: losses.cross_entropy(inversion.activations[-1], labels),
      reduction,
  )


@checked
def unlabeled_entropy(reduction: Reduction = 'batch', unlabeled: Unlabeled = 'entropy') -> Term:
  """Return 1{unlabeled} L_E(x), the entropy, or what takes its place.

  Args:
    reduction: see `labeled`.
    unlabeled: `entropy`, L_E (Eq. 4); `information`, which also keeps the mean prediction spread
      over the classes, see `losses.information`; or `none`, zero.
  """

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


@checked
def multiscale_reconstruction(
    layers: LayerNumbers | None = None,
    stop_target: bool = False,
    layer_weights: LayerWeights | None = None,
    form: losses.Form = 'output',
) -> Loss:
  """Return Lambda (Eq. 10); see `losses.multiscale_reconstruction` for the arguments.

  Raises:
    UserError: if layers, weights or form are invalid; when the loss is called, if the network does
      not have one of the layers.
  """

  def term(inversion, labels, mask):
    del labels, mask
    return losses.multiscale_reconstruction(inversion, layers, stop_target, layer_weights, form)

  return term


def supervised(reduction: Reduction = 'batch', unlabeled: Unlabeled = 'entropy') -> Objective:
  """Return the cross-entropy of labeled observations alone.

  Args:
    reduction: over which observations a loss is averaged, the batch or its group; see `labeled`.
    unlabeled: loss of unlabeled observations, see `unlabeled_entropy`. This objective has none; the
      option has no effect, and is accepted so that configurations can differ in the name alone.
  """
  return Objective([(1.0, per_log_classes(labeled_cross_entropy(reduction)))], inverts=False)


def entropy(reduction: Reduction = 'batch', unlabeled: Unlabeled = 'entropy') -> Objective:
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


def global_(reduction: Reduction = 'batch', unlabeled: Unlabeled = 'entropy') -> Objective:
  """Return cross-entropy, entropy, and the reconstruction of the input (Eq. 6, 9).

  Args:
    reduction: see `labeled`.
    unlabeled: see `unlabeled_entropy`.
  """
  return add(entropy(reduction, unlabeled), input_reconstruction())


def multiscale(
    reduction: Reduction = 'batch',
    layers: LayerNumbers | None = None,
    stop_target: bool = False,
    unlabeled: Unlabeled = 'entropy',
    layer_weights: LayerWeights | None = None,
    form: losses.Form = 'output',
) -> Objective:
  """Return cross-entropy, entropy, and the reconstruction of every layer (Eq. 6 with Eq. 8, 10).

  Args:
    reduction: over which observations a loss is averaged, the batch or its group; see `labeled`.
    layers: which of the layers 0, ..., L - 1 count; all unless given.
    stop_target: whether the activations are constant targets of their reconstructions.
    unlabeled: loss of unlabeled observations, see `unlabeled_entropy`.
    layer_weights: weights of the layers that count, in their order; 1 over their number
      unless given.
    form: what is reconstructed from what, see `losses.FORMS`.
  """
  reconstruction = multiscale_reconstruction(layers, stop_target, layer_weights, form)
  return add(entropy(reduction, unlabeled), reconstruction)


def convex(
    alpha: Share,
    beta: Share,
    normalized: bool = False,
    reduction: Reduction = 'batch',
    unlabeled: Unlabeled = 'entropy',
) -> Objective:
  """Return alpha L_CE + (1 - alpha) beta L_E + (1 - alpha)(1 - beta) L_R (Eq. 5).

  This is the objective of the paper's predecessor.

  Args:
    alpha: weight of the supervised loss, in [0, 1].
    beta: share of the entropy in the rest, in [0, 1].
    normalized: whether L_R is divided by the input's dimension. Eq. 5 does not.
    reduction: over which observations a loss is averaged, the batch or its group; see `labeled`.
    unlabeled: loss of unlabeled observations, see `unlabeled_entropy`.
  """
  terms = [
      (alpha, labeled_cross_entropy(reduction)),
      ((1 - alpha) * beta, unlabeled_entropy(reduction, unlabeled)),
      ((1 - alpha) * (1 - beta), input_reconstruction(normalized=normalized)),
  ]
  return Objective(terms)
