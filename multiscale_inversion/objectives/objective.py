"""Objectives: weighted sums of losses, and the combinators that make them."""

import dataclasses
import functools
import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from multiscale_inversion.arrays import as_shaped
from multiscale_inversion.errors import UserError, WrongType, check_choice
from multiscale_inversion.inversion.stages import Inversion
from multiscale_inversion.objectives.context import (
  Context,
  ContextTerm,
  InitialContext,
  LossOutput,
  Variables,
)

Reduction = Literal['batch', 'group']
REDUCTIONS = get_args(Reduction)

# (inversion, labels [N], mask [N]: 1 where labeled, 0 where not) -> loss per observation [N]
Loss = Callable[[Inversion, jax.Array, jax.Array], jax.Array]
Term = Loss | ContextTerm
# A number, or a function of the progress, the share of the training that is done, in [0, 1).
Weight = float | Callable[[jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Objective:
  """A weighted sum of terms; call it for the loss per observation.

  Attributes:
    terms: pairs of a weight and a term. A term is a function (inversion, labels, mask) -> [N], or
      a `ContextTerm`.
    inverts: whether a term reads reconstructions. If none does, they cost nothing: a compiled
      program does not compute what is not read.
  """

  terms: Sequence[tuple[Weight, Term]]
  inverts: bool = True

  def __call__(
      self,
      inversion: Inversion,
      labels: jax.Array,
      mask: jax.Array,
      context: Context | None = None,
  ) -> jax.Array:
    """Evaluate the objective.

    Args:
      inversion: activations (logits, [N, C], last) and reconstructions of N observations.
      labels: integers, shape [N]; arbitrary where mask is 0.
      mask: 1 where the observation is labeled, 0 where not, shape [N].
      context: the training step's context; needed if a weight is a schedule or a term is a
        `ContextTerm`.

    Returns:
      The loss per observation, shape [N]; the caller reduces.

    Raises:
      WrongType: if the context is needed and missing, or an argument has another type.
      UserError: if labels, mask, or the values of a term have another shape.
    """
    return self.evaluate(inversion, labels, mask, context).values

  @property
  def scheduled(self) -> bool:
    """Whether the loss changes with the training's progress by itself, through its weights."""
    return any(
        callable(weight) or (isinstance(term, ContextTerm) and term.scheduled)
        for weight, term in self.terms
    )

  def init(self, initial: InitialContext) -> dict[str, Any]:
    """Return the initial memory of each term that has one, keyed by term index."""
    return {
        str(index): term.init(initial)
        for index, (_, term) in enumerate(self.terms)
        if isinstance(term, ContextTerm) and term.init
    }

  def evaluate(
      self,
      inversion: Inversion,
      labels: jax.Array,
      mask: jax.Array,
      context: Context | None = None,
  ) -> LossOutput:
    """Evaluate the objective as a call does, with all that its terms return.

    Args:
      inversion: as for a call.
      labels: as for a call.
      mask: as for a call.
      context: as for a call; its `memory` is what `init` or `update` returned.

    Returns:
      The loss per observation; what each `ContextTerm` passes to `update`, keyed by term index; and
      the scalars of all terms.
    """
    labels, mask = _checked(inversion, labels, mask)
    total = jnp.zeros(mask.shape)
    to_remember: dict[str, Any] = {}
    scalars: dict[str, jax.Array] = {}
    for index, (weight, term) in enumerate(self.terms):
      if isinstance(term, ContextTerm):
        output = term.loss(inversion, labels, mask, _own(context, index))
        to_remember[str(index)] = output.to_remember
        scalars |= output.scalars or {}
        values = output.values
      else:
        values = term(inversion, labels, mask)
      if jnp.shape(values) != mask.shape:
        raise UserError(
            f'objective: its term {index} returned the shape {jnp.shape(values)}; allowed: '
            f'{mask.shape}, a value for each observation'
        )
      total += _weight(weight, context) * values
    return LossOutput(total, to_remember, scalars)

  def update(
      self, memory: dict[str, Any], to_remember: dict[str, Any], variables: Variables
  ) -> dict[str, Any]:
    """Return the terms' memories after a step.

    Args:
      memory: the memories before the step, keyed by term index.
      to_remember: from `evaluate`.
      variables: the network's `params` and `batch_stats` after the step.
    """
    return {
        key: term.update(memory[key], to_remember[key], variables)
        for key, (_, term) in zip(map(str, range(len(self.terms))), self.terms, strict=True)
        if isinstance(term, ContextTerm) and key in memory
    }

  def averaged(self, memory: dict[str, Any], variables: Variables) -> Variables:
    """Return the variables to evaluate: a term's average if one keeps it, else the trained ones.

    Args:
      memory: the terms' memories.
      variables: the trained variables.

    Raises:
      UserError: if the average and the trained variables differ in collections, entries or shapes,
        such as parameters without the batch statistics that belong to them.
    """
    for index, (_, term) in enumerate(self.terms):
      if isinstance(term, ContextTerm) and term.averaged:
        found = term.averaged(memory[str(index)])
        _check_averaged(found, variables, index)
        return found
    return variables


def _checked(inversion: Any, labels: Any, mask: Any) -> tuple[jax.Array, jax.Array]:
  if not isinstance(inversion, Inversion):
    raise WrongType(
        f'objective: inversion is a {type(inversion).__name__}; allowed: the Inversion that invert '
        'returns'
    )
  count = len(inversion.activations[-1])
  return (
      as_shaped(labels, 'objective: labels', (count,), 'integers'),
      as_shaped(mask, 'objective: mask', (count,)),
  )


def _check_averaged(found: Any, trained: Variables, index: int) -> None:
  shapes = lambda tree: {
      jax.tree_util.keystr(path): jnp.shape(leaf)
      for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }
  wrong = sorted(dict(shapes(found).items() ^ shapes(trained).items()))
  if wrong:
    raise UserError(
        f'objective: the averaged variables of its term {index} differ from the trained ones in '
        f'{wrong[0]}; allowed: the same collections, {", ".join(trained)}, with the same arrays'
    )


def _own(context: Context | None, index: int) -> Context:
  """Return the context as the term of this index sees it."""
  if context is None:
    raise WrongType('objective: one of its terms reads the training step; give `context`')
  memory = (context.memory or {}).get(str(index))
  return context._replace(memory=memory, key=jax.random.fold_in(context.key, index))


def _weight(weight: Weight, context: Context | None) -> jax.Array | float:
  if not callable(weight):
    return weight
  if context is None:
    raise WrongType('objective: one of its weights is a schedule; give `context`')
  return weight(context.progress)


def add(*parts: Objective | Term | tuple[Weight, Objective | Term]) -> Objective:
  """Return the sum of objectives and terms, each given alone or as a pair (weight, part).

  A weight is a number or a function of the training's progress, from 0 to 1.

  Example:
    >>> from multiscale_inversion import losses
    >>> squares = lambda inversion, labels, mask: losses.layer_reconstruction(inversion, 0)
    >>> objective = add(squares, (0.1, squares), (lambda progress: 1 - progress, squares))
    >>> [weight for weight, _ in objective.terms][:2]
    [1.0, 0.1]

  Raises:
    UserError: if a part or a weight is none of these.
  """
  if not parts:
    raise UserError('objective: a sum of nothing; allowed: one or more losses and objectives')
  terms, inverts = [], False
  for entry in parts:
    weight, part = entry if isinstance(entry, tuple) and len(entry) == 2 else (1.0, entry)
    if not callable(weight) and not isinstance(weight, numbers.Real | np.ndarray | jax.Array):
      raise UserError(
          f'objective: the weight {weight!r}; allowed: a number, or a function of the progress'
      )
    if not callable(part) and not isinstance(part, ContextTerm):
      raise UserError(
          f'objective: {entry!r}; allowed: a loss, an objective, or (weight, one of them)'
      )
    if isinstance(part, Objective):
      terms += [(_product(weight, own), term) for own, term in part.terms]
      inverts |= part.inverts
    else:
      terms.append((weight, part))
      # A plain function does not say whether it reads them; to measure them costs little.
      inverts |= part.inverts if isinstance(part, ContextTerm) else True
  return Objective(terms, inverts)


def _product(a: Weight, b: Weight) -> Weight:
  if not callable(a) and not callable(b):
    return a * b
  at = lambda weight, progress: weight(progress) if callable(weight) else weight
  return lambda progress: at(a, progress) * at(b, progress)


def _changed(
    term: Term, change: Callable[[jax.Array, Inversion, jax.Array], jax.Array]
) -> Term:
  """Return the term with its values changed by a function (values, inversion, mask) -> values."""
  if not isinstance(term, ContextTerm):

    @functools.wraps(term)
    def changed(inversion, labels, mask):
      return change(term(inversion, labels, mask), inversion, mask)

    return changed

  @functools.wraps(term.loss)
  def loss(inversion, labels, mask, context):
    output = term.loss(inversion, labels, mask, context)
    return output._replace(values=change(output.values, inversion, mask))

  return dataclasses.replace(term, loss=loss)


def labeled(term: Term, reduction: str = 'batch') -> Term:
  """Return the term on labeled observations, zero on the others.

  Args:
    term: any term.
    reduction: `batch` keeps the values, so that the average over a batch is Eq. 6 as it stands;
      `group` rescales them, so that it is the mean over the labeled observations alone.
  """
  return _of_group(term, reduction, lambda mask: mask)


def unlabeled(term: Term, reduction: str = 'batch') -> Term:
  """Return the term on unlabeled observations, zero on the others; see `labeled`."""
  return _of_group(term, reduction, lambda mask: 1 - mask)


def _of_group(term, reduction, group_of):
  check_choice('reduction', reduction, REDUCTIONS)

  def change(values, inversion, mask):
    del inversion
    return of_group(values, group_of(mask), reduction)

  return _changed(term, change)


def of_group(values: jax.Array, group: jax.Array, reduction: str) -> jax.Array:
  """Return values [N] where group [N] is 1, reduced as by `labeled`, and zero elsewhere."""
  # `where` instead of a product, as a masked value may be infinite.
  values = jnp.where(group > 0, values, 0)
  return values if reduction == 'batch' else values * group.size / jnp.maximum(jnp.sum(group), 1)


def per_log_classes(term: Term) -> Term:
  """Divide a term by log(C), its value at initialization (the renormalization of Eq. 6).

  The result raises a `UserError` when it is evaluated with fewer than two classes, as log(1) is 0.
  """

  def change(values, inversion, mask):
    del mask
    count = inversion.activations[-1].shape[-1]
    if count < 2:
      raise UserError(
          f'objective: the number of classes is {count}, and a term is divided by its logarithm; '
          'allowed: at least 2'
      )
    return values / math.log(count)

  return _changed(term, change)
