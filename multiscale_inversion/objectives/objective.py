"""Objectives as sums of weighted losses, and the combinators that make them."""

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
from multiscale_inversion.errors import UserError, check_choice
from multiscale_inversion.inversion.stages import Inversion
from multiscale_inversion.objectives.context import (
    Context,
    ContextTerm,
    Evaluation,
    Start,
    Variables,
)

Reduction = Literal['batch', 'group']
REDUCTIONS = get_args(Reduction)

# (inversion, labels [N], mask [N]: 1 where labeled, 0 where not) -> loss per observation [N]
Loss = Callable[[Inversion, jax.Array, jax.Array], jax.Array]
Term = Loss | ContextTerm
# A number, or a function of the progress in [0, 1): the share of the training that is done.
Weight = float | Callable[[jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Objective:
  """A weighted sum of terms; call it for the loss per observation.

  Attributes:
    terms: pairs of a weight and a term. A term is a function (inversion, labels, mask) -> [N], or
      a `ContextTerm`, which knows more.
    inverts: whether a term reads reconstructions. They cost nothing where none does: what is not
      read is not computed in a compiled program.
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
    """Evaluates the objective.

    Args:
      inversion: activations (logits, [N, C], last) and reconstructions of N observations.
      labels: integers, shape [N]; arbitrary where mask is 0.
      mask: 1 where the observation is labeled, 0 where not, shape [N].
      context: the training step's surroundings; needed where a weight is a schedule or a term is a
        `ContextTerm`.

    Returns:
      The loss per observation, shape [N], which the caller averages.

    Raises:
      TypeError: if the context is needed and missing, or an argument is of another type.
      UserError: if labels, mask, or what a term returns, have another shape.
    """
    return self.evaluate(inversion, labels, mask, context).values

  @property
  def scheduled(self) -> bool:
    """Whether a weight changes with the progress: then so does the loss, by itself."""
    return any(
        callable(weight) or (isinstance(term, ContextTerm) and term.scheduled)
        for weight, term in self.terms
    )

  def init(self, start: Start) -> dict[str, Any]:
    """The memories of the terms that have one, by the term's number."""
    return {
        str(index): term.init(start)
        for index, (_, term) in enumerate(self.terms)
        if isinstance(term, ContextTerm) and term.init
    }

  def evaluate(
      self,
      inversion: Inversion,
      labels: jax.Array,
      mask: jax.Array,
      context: Context | None = None,
  ) -> Evaluation:
    """As a call, with the terms' news, by the term's number, and scalars.

    `context.memory` holds what `init` or `update` returned.
    """
    labels, mask = _checked(inversion, labels, mask)
    total, news, scalars = jnp.zeros(mask.shape), {}, {}
    for index, (weight, term) in enumerate(self.terms):
      if isinstance(term, ContextTerm):
        found = term.loss(inversion, labels, mask, _own(context, index))
        news[str(index)] = found.news
        scalars |= found.scalars or {}
        values = found.values
      else:
        values = term(inversion, labels, mask)
      if jnp.shape(values) != mask.shape:
        raise UserError(
            f'objective: its term {index} returned shape {jnp.shape(values)}; allowed: a value an '
            f'observation, {mask.shape}'
        )
      total += _weight(weight, context) * values
    return Evaluation(total, news, scalars)

  def update(
      self, memory: dict[str, Any], news: dict[str, Any], variables: Variables
  ) -> dict[str, Any]:
    """Return the memories after a step.

    Args:
      memory: before it.
      news: as `evaluate` returned them.
      variables: the network's `params` and `batch_stats` as the step left them.
    """
    return {
        key: self.terms[int(key)][1].update(value, news[key], variables)
        for key, value in memory.items()
    }

  def averaged(self, memory: dict[str, Any], variables: Variables) -> Variables:
    """Return the variables to evaluate: a term's average where one keeps such, else the trained.

    Raises:
      UserError: if what a term returns has not the collections, entries and shapes of the trained
        variables, such as parameters without the batch statistics that belong to them.
    """
    for index, (_, term) in enumerate(self.terms):
      if isinstance(term, ContextTerm) and term.averaged:
        found = term.averaged(memory[str(index)])
        _check_averaged(found, variables, index)
        return found
    return variables


def _checked(inversion: Any, labels: Any, mask: Any) -> tuple[jax.Array, jax.Array]:
  if not isinstance(inversion, Inversion):
    raise TypeError(
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
  """The context as the term of that number sees it."""
  if context is None:
    raise TypeError('objective: a term of it reads the context of a training step; give `context`')
  memory = (context.memory or {}).get(str(index))
  return context._replace(memory=memory, key=jax.random.fold_in(context.key, index))


def _weight(weight: Weight, context: Context | None) -> jax.Array | float:
  if not callable(weight):
    return weight
  if context is None:
    raise TypeError('objective: a weight of it is a schedule, of the progress; give `context`')
  return weight(context.progress)


def add(*parts: Objective | Term | tuple[Weight, Objective | Term]) -> Objective:
  """Joins objectives and terms, each alone or with a weight, into the objective of their sum.

  Example:
    >>> from multiscale_inversion import losses
    >>> squares = lambda inversion, labels, mask: losses.layer_reconstruction(inversion, 0)
    >>> objective = add(squares, (0.1, squares), (lambda progress: 1 - progress, squares))
    >>> [weight for weight, _ in objective.terms][:2]
    [1.0, 0.1]

  Raises:
    UserError: for what is none of these.
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
      # Of a plain function it is not known; to measure what it might read costs little.
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
  """A term whose values are changed by (values, inversion, mask) -> values."""
  if not isinstance(term, ContextTerm):

    @functools.wraps(term)
    def changed(inversion, labels, mask):
      return change(term(inversion, labels, mask), inversion, mask)

    return changed

  @functools.wraps(term.loss)
  def loss(inversion, labels, mask, context):
    found = term.loss(inversion, labels, mask, context)
    return found._replace(values=change(found.values, inversion, mask))

  return dataclasses.replace(term, loss=loss)


def labeled(term: Term, reduction: str = 'batch') -> Term:
  """The term on labeled observations, zero on others.

  Args:
    term: any.
    reduction: `batch`: averaged over a batch, an observation counts as one (Eq. 6 as it stands);
      `group`: rescaled so that a batch's average is the mean over the labeled observations alone.
  """
  return _of_group(term, reduction, lambda mask: mask)


def unlabeled(term: Term, reduction: str = 'batch') -> Term:
  """The term on unlabeled observations, zero on others; the arguments as of `labeled`."""
  return _of_group(term, reduction, lambda mask: 1 - mask)


def _of_group(term, reduction, group_of):
  check_choice('reduction', reduction, REDUCTIONS)

  def change(values, inversion, mask):
    del inversion
    group = group_of(mask)
    # Where, not a product: what is masked may be infinite.
    values = jnp.where(group > 0, values, 0)
    return values if reduction == 'batch' else values * group.size / jnp.maximum(jnp.sum(group), 1)

  return _changed(term, change)


def per_log_classes(term: Term) -> Term:
  """Divide a term by log(C), its value at initialization (the renormalization of Eq. 6).

  Evaluated with fewer than two classes, whose logarithm is zero, it raises a `UserError`.
  """

  def change(values, inversion, mask):
    del mask
    count = inversion.activations[-1].shape[-1]
    if count < 2:
      raise UserError(
          f'objective: the number of classes is {count}, by whose logarithm a term is divided; '
          'allowed: at least 2'
      )
    return values / math.log(count)

  return _changed(term, change)
