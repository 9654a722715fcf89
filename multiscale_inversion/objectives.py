"""What is minimized: weighted sums of per-observation losses over an inversion (Eq. 5, 6, 8)."""

import dataclasses
import inspect
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from multiscale_inversion import losses
from multiscale_inversion.errors import UserError, check_choice, check_range
from multiscale_inversion.inversion import Inversion

REDUCTIONS = ('batch', 'group')
UNLABELED = ('entropy', 'information', 'none')

# (inversion, labels [N], mask [N]: 1 where labeled, 0 where not) -> loss per observation [N]
Term = Callable[[Inversion, jax.Array, jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Objective:
  """A weighted sum of terms; call it for the loss per observation.

  Attributes:
    terms: pairs of a weight and a term.
    inverts: whether a term reads reconstructions. They cost nothing where none does: what is not
      read is not computed in a compiled program.
  """

  terms: Sequence[tuple[float, Term]]
  inverts: bool = True

  def __call__(self, inversion: Inversion, labels: jax.Array, mask: jax.Array) -> jax.Array:
    """Evaluates the objective.

    Args:
      inversion: activations (logits, [N, C], last) and reconstructions of N observations.
      labels: integers, shape [N]; arbitrary where mask is 0.
      mask: 1 where the observation is labeled, 0 where not, shape [N].

    Returns:
      The loss per observation, shape [N], which the caller averages.
    """
    return sum(weight * term(inversion, labels, mask) for weight, term in self.terms)


def labeled_cross_entropy(reduction: str = 'batch') -> Term:
  """1{labeled} L_CE(x, y); see `Objective` for the arguments of a term.

  Args:
    reduction: `batch`: averaged over a batch, an observation counts as one (Eq. 6 as it stands);
      `group`: rescaled so that a batch's average is the mean over the labeled observations alone.
  """
  scale = _group_scale(reduction)

  def term(inversion, labels, mask):
    value = losses.cross_entropy(inversion.activations[-1], labels)
    return jnp.where(mask > 0, value, 0) * scale(mask)

  return term


def unlabeled_entropy(reduction: str = 'batch', unlabeled: str = 'entropy') -> Term:
  """1{unlabeled} L_E(x).

  Args:
    reduction: as of `labeled_cross_entropy`.
    unlabeled: `entropy`, L_E (Eq. 4), or in its place `information`, which also keeps the mean
      prediction spread over the classes, see `losses.information`; or `none`, zero.
  """
  scale = _group_scale(reduction)
  check_choice('objective.unlabeled', unlabeled, UNLABELED)

  def term(inversion, labels, mask):
    del labels
    logits = inversion.activations[-1]
    if unlabeled == 'none':
      return jnp.zeros_like(mask)
    if unlabeled == 'entropy':
      value = losses.entropy(logits)
    else:
      value = losses.information(logits, 1 - mask)
    return jnp.where(mask > 0, 0, value) * scale(1 - mask)

  return term


def _group_scale(reduction: str) -> Callable[[jax.Array], jax.Array | float]:
  check_choice('objective.reduction', reduction, REDUCTIONS)
  if reduction == 'batch':
    return lambda group: 1.0
  return lambda group: group.size / jnp.maximum(jnp.sum(group), 1)


def per_log_classes(term: Term) -> Term:
  """The term divided by log(C), its value at initialization (the renormalization of Eq. 6)."""

  def renormalized(inversion, labels, mask):
    return term(inversion, labels, mask) / math.log(inversion.activations[-1].shape[-1])

  return renormalized


def input_reconstruction(*, normalized: bool = True) -> Term:
  """Gamma (Eq. 9) or, not normalized, L_R (Eq. 3)."""

  def term(inversion, labels, mask):
    del labels, mask
    scale = 1 if normalized else losses.dimension(inversion.activations[0])
    return losses.global_reconstruction(inversion) * scale

  return term


def multiscale_reconstruction(layers: Sequence[int] | None, stop_target: bool) -> Term:
  """Lambda (Eq. 10); the arguments are those of `losses.multiscale_reconstruction`."""

  def term(inversion, labels, mask):
    del labels, mask
    return losses.multiscale_reconstruction(inversion, layers, stop_target)

  return term


def supervised(reduction: str = 'batch', unlabeled: str = 'entropy') -> Objective:
  """The labeled observations' cross-entropy alone.

  It has no loss of unlabeled ones: `unlabeled` is there so that a configuration that sets it can
  be compared with this one, and changes nothing.
  """
  check_choice('objective.unlabeled', unlabeled, UNLABELED)
  return Objective([(1.0, per_log_classes(labeled_cross_entropy(reduction)))], inverts=False)


def entropy(reduction: str = 'batch', unlabeled: str = 'entropy') -> Objective:
  """Cross-entropy and entropy (Eq. 6 without its reconstruction)."""
  terms = [
      (1.0, per_log_classes(labeled_cross_entropy(reduction))),
      (1.0, per_log_classes(unlabeled_entropy(reduction, unlabeled))),
  ]
  return Objective(terms, inverts=False)


def global_(reduction: str = 'batch', unlabeled: str = 'entropy') -> Objective:
  """Cross-entropy, entropy, and the reconstruction of the input (Eq. 6, 9)."""
  return Objective([*entropy(reduction, unlabeled).terms, (1.0, input_reconstruction())])


def multiscale(
    reduction: str = 'batch',
    layers: Sequence[int] | None = None,
    stop_target: bool = False,
    unlabeled: str = 'entropy',
) -> Objective:
  """Cross-entropy, entropy, and the reconstruction of every layer (Eq. 6 with Eq. 8, 10).

  Args:
    reduction: `batch` or `group`, see `labeled_cross_entropy`.
    layers: which of the layers 0, ..., L - 1 count; all unless given.
    stop_target: whether the activations are constant targets of their reconstructions.
    unlabeled: `entropy`, `information` or `none`, see `unlabeled_entropy`.
  """
  reconstruction = multiscale_reconstruction(layers, stop_target)
  return Objective([*entropy(reduction, unlabeled).terms, (1.0, reconstruction)])


def convex(
    alpha: float | None = None,
    beta: float | None = None,
    normalized: bool = False,
    reduction: str = 'batch',
    unlabeled: str = 'entropy',
) -> Objective:
  """Alpha L_CE + (1 - alpha) beta L_E + (1 - alpha)(1 - beta) L_R (Eq. 5, of the predecessor).

  Args:
    alpha: weight of the supervised loss, in [0, 1].
    beta: share of the entropy in the rest, in [0, 1].
    normalized: divide L_R by the input's dimension. Eq. 5 does not.
    reduction: `batch` or `group`, see `labeled_cross_entropy`.
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


_OBJECTIVES: dict[str, Callable[..., Objective]] = {
    'supervised': supervised,
    'entropy': entropy,
    'global': global_,
    'multiscale': multiscale,
    'convex': convex,
}


def names() -> tuple[str, ...]:
  """The names that `create` takes."""
  return tuple(_OBJECTIVES)


def constructor(name: str) -> Callable[..., Objective]:
  """The function that makes the objective called `name`; its signature has the options."""
  check_choice('objective.name', name, names())
  return _OBJECTIVES[name]


def create(name: str, **options) -> Objective:
  """Returns the objective called `name`.

  Args:
    name: one of `names()`.
    **options: arguments of the function of that name in this module.

  Raises:
    UserError: for an unknown name or option, or a value out of range.
  """
  function = constructor(name)
  allowed = inspect.signature(function).parameters
  for option in options:
    if option not in allowed:
      raise UserError(
          f'objective.{option}: not an option of {name}; allowed: {", ".join(allowed)}'
      )
  return function(**options)
