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
UNLABELED = get_args(Unlabeled)


def check_layers(what: str, layers: Sequence[int]) -> None:
  """Raise a `UserError` unless these are different layers, counted from 0."""
  whole = isinstance(layers, Iterable) and all(
      isinstance(layer, numbers.Integral) and layer >= 0 for layer in layers
  )
  if not whole or not len(layers) or len({*layers}) < len(layers):
    raise UserError(f'{layers!r}; allowed: a tuple of different layers, as (0, 3)', what)


def check_layer_weights(what: str, weights: Sequence[float]) -> None:
  """Raise a `UserError` unless these are numbers from 0 up, one above 0 among them."""
  real = isinstance(weights, Iterable) and all(
      isinstance(weight, numbers.Real) and weight >= 0 for weight in weights
  )
  if not real or not any(weights):
    raise UserError(
        f'{weights!r}; allowed: a tuple of numbers from 0 up, not all 0, as (1.0, 0.5)', what
    )


LayerNumbers = Annotated[Sequence[int], Check(check_layers, 'different ones, as (0, 3)')]
LayerWeights = Annotated[
    Sequence[float], Check(check_layer_weights, 'from 0 up, not all 0, as (1.0, 0.5)')
]


def labeled_cross_entropy(reduction: Reduction = 'batch') -> Term:
  """1{labeled} L_CE(x, y); the argument as of `labeled`."""
  return labeled(
      lambda inversion, labels, mask: losses.cross_entropy(inversion.activations[-1], labels),
      reduction,
  )


@checked
def unlabeled_entropy(
    reduction: Reduction = 'batch', unlabeled: Unlabeled = 'entropy'
) -> Term:
  """1{unlabeled} L_E(x).

  Args:
    reduction: as of `labeled`.
    unlabeled: `entropy`, L_E (Eq. 4), or in its place `information`, which also keeps the mean
      prediction spread over the classes, see `losses.information`; or `none`, zero.
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
  """Gamma (Eq. 9) or, not normalized, L_R (Eq. 3)."""

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
  """Lambda (Eq. 10); the arguments are those of `losses.multiscale_reconstruction`.

  Raises:
    UserError: for layers, weights or a form that cannot be; when called, for a layer that the
      network does not have.
  """

  def term(inversion, labels, mask):
    del labels, mask
    return losses.multiscale_reconstruction(inversion, layers, stop_target, layer_weights, form)

  return term


def supervised(reduction: Reduction = 'batch', unlabeled: Unlabeled = 'entropy') -> Objective:
  """Return the labeled observations' cross-entropy alone.

  Args:
    reduction: over which observations a loss is averaged, the batch or its group; see `labeled`.
    unlabeled: loss of unlabeled observations, see `unlabeled_entropy`. This objective has none; the
      option changes nothing, so that configurations can differ from others in the name alone.
  """
  return Objective([(1.0, per_log_classes(labeled_cross_entropy(reduction)))], inverts=False)


def entropy(reduction: Reduction = 'batch', unlabeled: Unlabeled = 'entropy') -> Objective:
  """Cross-entropy and entropy (Eq. 6 without its reconstruction).

  The entropy of unlabeled observations is Grandvalet and Bengio's, "Semi-supervised Learning by
  Entropy Minimization", NIPS 2004.
  """
  terms = [
      (1.0, per_log_classes(labeled_cross_entropy(reduction))),
      (1.0, per_log_classes(unlabeled_entropy(reduction, unlabeled))),
  ]
  return Objective(terms, inverts=False)


def global_(reduction: Reduction = 'batch', unlabeled: Unlabeled = 'entropy') -> Objective:
  """Cross-entropy, entropy, and the reconstruction of the input (Eq. 6, 9)."""
  return add(entropy(reduction, unlabeled), input_reconstruction())


def multiscale(
    reduction: Reduction = 'batch',
    layers: LayerNumbers | None = None,
    stop_target: bool = False,
    unlabeled: Unlabeled = 'entropy',
    layer_weights: LayerWeights | None = None,
    form: losses.Form = 'output',
) -> Objective:
  """Cross-entropy, entropy, and the reconstruction of every layer (Eq. 6 with Eq. 8, 10).

  Args:
    reduction: over which observations a loss is averaged, the batch or its group; see `labeled`.
    layers: which of the layers 0, ..., L - 1 count; all unless given.
    stop_target: whether the activations are constant targets of their reconstructions.
    unlabeled: loss of unlabeled observations, see `unlabeled_entropy`.
    layer_weights: weights of the layers that count, in their order; equal unless given.
    form: which reconstruction is compared with which activation, see `losses.layer_losses`.
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
  """Alpha L_CE + (1 - alpha) beta L_E + (1 - alpha)(1 - beta) L_R (Eq. 5, of the predecessor).

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
