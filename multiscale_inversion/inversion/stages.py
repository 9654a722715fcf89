"""The inverse of a deep network at every layer, from one forward and one backward chain.

Balestriero, Glotin and Baraniuk, "Semi-Supervised Learning Enabled by Multiscale Deep Neural
Network Inversion", arXiv:1802.10172, Eq. 7.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from multiscale_inversion.arrays import as_array
from multiscale_inversion.errors import UserError
from multiscale_inversion.inversion.recomputation import recomputed

Stage = Callable[[jax.Array], Any]


class Inversion(NamedTuple):
  """A network's activations and their reconstructions from its output.

  Attributes:
    activations: z^(0) = x, ..., z^(L); L + 1 arrays, the observations along the first axis.
    reconstructions: r^(0), ..., r^(L-1); r^(l) has the shape and the dtype of z^(l).
    auxiliary: what each of the L stages returned beside z; None for a stage that returned z alone.
    pullbacks: for each of the L stages the product with its transposed Jacobian,
      v -> (dz^(l+1)/dz^(l))^T v, where `invert` was asked to keep them; else empty.
  """

  activations: tuple[jax.Array, ...]
  reconstructions: tuple[jax.Array, ...]
  auxiliary: tuple[Any, ...]
  pullbacks: tuple[Callable[[jax.Array], jax.Array], ...] = ()


def invert(
    stages: Sequence[Stage],
    x: jax.Array,
    keep_pullbacks: bool = False,
    rematerialize: bool = False,
) -> Inversion:
  """Runs a network of L stages and reconstructs the input of each from the network's output.

  The reconstruction of layer l is r^(l) = (dz^(L)/dz^(l))^T z^(L) (Eq. 7). As r^(l) is the
  product of the l-th stage's transposed Jacobian with r^(l+1), a chain of `jax.vjp`, one stage
  each, walked back once gives all of them: one forward and one backward pass whatever L is. The
  result is differentiable again, so that losses on it can be trained by gradient.

  A stage that must hold a quantity constant in the inverse, yet not in that second
  differentiation, wraps it in `hold_in_inverse`.

  Args:
    stages: L >= 1 pure functions, each `z -> z'` or `z -> (z', aux)`, where z and z' are arrays
      with the observations along the first axis and aux is any pytree (updated batch statistics,
      say). Values that a stage closes over, parameters among them, are constants of the inverse
      and variables of an outer differentiation.
    x: z^(0), the observations, of shape [N, ...]. A floating-point array; N may be 0.
    keep_pullbacks: return `pullbacks` too, from which other reconstructions can be made. They are
      functions: what holds them cannot be the result of a compiled function.
    rematerialize: keep of each stage its input and its reconstruction alone, and compute the rest
      again in an outer differentiation, in reverse mode: less memory, more time.

  Returns:
    The `Inversion`: L + 1 activations, L reconstructions and L auxiliary values.

  Raises:
    ValueError: if there is no stage.
    UserError: if x has no axis of observations.
    TypeError: if x, or what a stage returns, is not a floating-point array (or such an array
      and an auxiliary value), or a stage is no function.

  Example:
    >>> weights = jnp.array([[2., 0.], [0., 3.]])
    >>> result = invert([lambda z: z @ weights], jnp.ones([1, 2]))
    >>> result.activations[-1], result.reconstructions[0]
    (Array([[2., 3.]], dtype=float32), Array([[4., 9.]], dtype=float32))
  """
  stages = _checked(stages)
  x = as_activation(x, 'invert: x')

  activations, pullbacks, auxiliary = [x], [], []
  for index, stage in enumerate(stages):
    apply = _with_auxiliary(stage, index)
    z, pullback, aux = (_linearized_again if rematerialize else _linearized)(apply, activations[-1])
    activations.append(z)
    pullbacks.append(pullback)
    auxiliary.append(aux)

  reconstructions = []
  r = activations[-1]
  for pullback in reversed(pullbacks):
    (r,) = pullback(r)
    reconstructions.append(r)
  kept = tuple(map(_of_one_argument, pullbacks)) if keep_pullbacks else ()
  return Inversion(tuple(activations), tuple(reversed(reconstructions)), tuple(auxiliary), kept)


def _linearized(apply, z):
  """A stage's output, its pullback and its auxiliary value."""
  return jax.vjp(apply, z, has_aux=True)


def _linearized_again(apply, z):
  """The same, with a forward and a backward pass that are each computed again."""
  # Both take the vjp inside, so that it is the innermost differentiation (`hold_in_inverse`).
  output, aux = recomputed(lambda z: _linearized(apply, z)[::2])(z)
  pull_back = recomputed(lambda z, vector: _linearized(apply, z)[1](vector))
  return output, lambda vector: pull_back(z, vector), aux


def _of_one_argument(pullback: Callable[[jax.Array], tuple[jax.Array]]) -> Stage:
  return lambda vector: pullback(vector)[0]


def _with_auxiliary(stage: Stage, index: int) -> Callable[[jax.Array], tuple[jax.Array, Any]]:
  """Gives every stage the form `z -> (z', aux)`."""

  def apply(z):
    output = stage(z)
    if isinstance(output, tuple):
      if len(output) != 2:
        raise TypeError(
            f"invert: stage {index} returned a tuple of {len(output)}; allowed: z' or (z', aux)"
        )
      z, aux = output
    else:
      z, aux = output, None
    if isinstance(z, np.ndarray):
      z = jnp.asarray(z)
    check_activation(z, f'invert: what stage {index} returned')
    return z, aux

  return apply


def _checked(stages: Sequence[Stage]) -> tuple[Stage, ...]:
  if not isinstance(stages, Iterable):
    raise TypeError(
        f'invert: stages is a {type(stages).__name__}; allowed: a sequence of functions'
    )
  stages = tuple(stages)
  if not stages:
    raise ValueError('invert: stages is empty; a network has at least one stage')
  for index, stage in enumerate(stages):
    if not callable(stage):
      raise TypeError(
          f"invert: stage {index} is a {type(stage).__name__}; allowed: a function z -> z' or "
          "z -> (z', aux)"
      )
  return stages


def as_activation(x: Any, what: str) -> jax.Array:
  """Return observations as a floating-point array.

  Args:
    x: an array of JAX or NumPy, or nested sequences of numbers.
    what: its name, for errors.

  Raises:
    TypeError: if it is none, or of another type of numbers.
    UserError: if it has no axis.
  """
  x = as_array(x, what)
  check_activation(x, what)
  if not x.ndim:
    raise UserError(f'{what} has the shape (); allowed: (N, ...), the observations along axis 0')
  return x


def check_activation(z: Any, what: str) -> None:
  """Raises a `TypeError` unless z is a floating-point array."""
  if not isinstance(z, jax.Array) or not jnp.issubdtype(z.dtype, jnp.floating):
    found = f'an array of {z.dtype}' if isinstance(z, jax.Array) else f'a {type(z).__name__}'
    raise TypeError(f'{what} is {found}; allowed: a floating-point array')


@jax.custom_jvp
def hold_in_inverse(value: jax.Array) -> jax.Array:
  """Returns `value`, a constant of the innermost differentiation and of no other.

  Inside a stage, `invert`'s vjp is the innermost differentiation: the inverse takes the value as
  given (a batch's statistics, say, so that each observation has a Jacobian of its own), while the
  gradient of a loss on activations and reconstructions still flows through it. (`stop_gradient`
  would stop both.) In code that is differentiated once only, without `invert`, the value is
  constant for that one differentiation: call it only in functions that `invert` takes.

  Args:
    value: any array.

  Returns:
    The same value.
  """
  return value


@hold_in_inverse.defjvp
def _hold_in_inverse_jvp(primals, tangents):
  # The rule's own primal output is the plain value, with no rule attached: the next
  # differentiation outwards sees an identity.
  (value,), (tangent,) = primals, tangents
  return value, jnp.zeros_like(tangent)
