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
from multiscale_inversion.errors import UserError, WrongType
from multiscale_inversion.inversion.recomputation import recomputed

Stage = Callable[[jax.Array], Any]
_StageWithAuxiliary = Callable[[jax.Array], tuple[jax.Array, Any]]
_Pullback = Callable[[jax.Array], tuple[jax.Array]]


class Inversion(NamedTuple):
  """A network's activations and their reconstructions from its output.

  Attributes:
    activations: z^(0) = x, ..., z^(L); L + 1 arrays, the observations along the first axis.
    reconstructions: r^(0), ..., r^(L-1); r^(l) has the shape and the dtype of z^(l).
    auxiliary: the auxiliary value of each of the L stages; None for a stage that returned z alone.
    pullbacks: if `invert` was asked to keep them, each stage's product with its transposed
      Jacobian, v -> (dz^(l+1)/dz^(l))^T v; otherwise empty.
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
  """Run a network of L stages and reconstruct the input of each from the network's output.

  The reconstruction of layer l is r^(l) = (dz^(L)/dz^(l))^T z^(L) (Eq. 7), which is the transposed
  Jacobian of stage l times r^(l+1). A chain of `jax.vjp`, one for each stage, walked back once,
  gives all of them: one forward and one backward pass, whatever L is. The result is differentiable
  again, so that losses on it can be minimized by gradient descent.

  A stage can hold a quantity constant in the inverse, but not in that outer differentiation, by
  `hold_in_inverse`.

  Args:
    stages: L >= 1 pure functions, each `z -> z'` or `z -> (z', aux)`. z and z' are arrays with the
      observations along the first axis; aux is any pytree, such as updated batch statistics. Values
      that a stage closes over, such as parameters, are constants of the inverse and variables of an
      outer differentiation.
    x: z^(0), the observations, shape [N, ...], floating point; N may be 0.
    keep_pullbacks: return `pullbacks` too, from which other reconstructions can be made. They are
      functions, so a compiled function cannot return an `Inversion` that has them.
    rematerialize: keep only the input and the reconstruction of each stage, and compute everything
      else again in an outer differentiation (in reverse mode). It takes less memory and more time.

  Returns:
    The `Inversion`: L + 1 activations, L reconstructions and L auxiliary values.

  Raises:
    UserError: if there is no stage.
    UserError: if x has no axis of observations.
    WrongType: if a stage is not a function, or x or the output of a stage is not a floating-point
      array (for a stage: such an array, or a pair of it and an auxiliary value).

  Example:
    >>> weights = jnp.array([[2., 0.], [0., 3.]])
    >>> result = invert([lambda z: z @ weights], jnp.ones([1, 2]))
    >>> result.activations[-1], result.reconstructions[0]
    (Array([[2., 3.]], dtype=float32), Array([[4., 9.]], dtype=float32))
  """
  stages = _checked(stages)
  x = as_activation(x, 'invert: x')

  linearize = _linearized_again if rematerialize else _linearized
  activations: list[jax.Array] = [x]
  pullbacks: list[_Pullback] = []
  auxiliary: list[Any] = []
  for index, stage in enumerate(stages):
    z, pullback, aux = linearize(_with_auxiliary(stage, index), activations[-1])
    activations.append(z)
    pullbacks.append(pullback)
    auxiliary.append(aux)

  reconstructions = _pull_back(activations[-1], pullbacks)
  kept = tuple(map(_of_one_argument, pullbacks)) if keep_pullbacks else ()
  return Inversion(tuple(activations), reconstructions, tuple(auxiliary), kept)


def _pull_back(z: jax.Array, pullbacks: Sequence[_Pullback]) -> tuple[jax.Array, ...]:
  """Return the reconstructions of all layers from the network's output."""
  reconstructions: list[jax.Array] = []
  for pullback in reversed(pullbacks):
    (z,) = pullback(z)
    reconstructions.append(z)
  return tuple(reversed(reconstructions))


def _linearized(apply: _StageWithAuxiliary, z: jax.Array) -> tuple[jax.Array, _Pullback, Any]:
  """Return a stage's output, its pullback and its auxiliary value."""
  return jax.vjp(apply, z, has_aux=True)


def _linearized_again(apply: _StageWithAuxiliary, z: jax.Array) -> tuple[jax.Array, _Pullback, Any]:
  """Return the same, with a forward and a backward pass that are each computed again."""
  # Both take the vjp inside, so that it is the innermost differentiation (`hold_in_inverse`).
  output, aux = recomputed(lambda z: _linearized(apply, z)[::2])(z)
  pull_back = recomputed(lambda z, vector: _linearized(apply, z)[1](vector))
  return output, lambda vector: pull_back(z, vector), aux


def _of_one_argument(pullback: _Pullback) -> Callable[[jax.Array], jax.Array]:
  return lambda vector: pullback(vector)[0]


def _with_auxiliary(stage: Stage, index: int) -> _StageWithAuxiliary:
  """Give a stage the form `z -> (z', aux)`, with checks of what it returns."""

  def apply(z: jax.Array) -> tuple[jax.Array, Any]:
    output = stage(z)
    if isinstance(output, tuple):
      if len(output) != 2:
        raise WrongType(
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
  """Return the stages as a tuple, after checks that they are functions."""
  if not isinstance(stages, Iterable):
    raise WrongType(
        f'invert: stages is a {type(stages).__name__}; allowed: a sequence of functions'
    )
  stages = tuple(stages)
  if not stages:
    raise UserError('invert: stages is empty; a network has at least one stage')
  for index, stage in enumerate(stages):
    if not callable(stage):
      raise WrongType(
          f"invert: stage {index} is a {type(stage).__name__}; allowed: a function z -> z' or "
          "z -> (z', aux)"
      )
  return stages


def as_activation(x: Any, what: str) -> jax.Array:
  """Return observations as a floating-point array.

  Args:
    x: an array of JAX or NumPy, or nested sequences of numbers.
    what: the name of x in errors.

  Raises:
    WrongType: if x does not make an array of floating-point numbers.
    UserError: if x has no axis.
  """
  x = as_array(x, what)
  check_activation(x, what)
  if not x.ndim:
    raise UserError(f'{what} has the shape (); allowed: (N, ...), the observations along axis 0')
  return x


def check_activation(z: Any, what: str) -> None:
  """Raise a `TypeError` unless z is a floating-point array."""
  if not isinstance(z, jax.Array) or not jnp.issubdtype(z.dtype, jnp.floating):
    found = f'an array of {z.dtype}' if isinstance(z, jax.Array) else f'a {type(z).__name__}'
    raise WrongType(f'{what} is {found}; allowed: a floating-point array')


@jax.custom_jvp
def hold_in_inverse(value: jax.Array) -> jax.Array:
  """Return `value`, held constant in the innermost differentiation and in no other.

  Inside a stage, `invert`'s vjp is the innermost differentiation. The inverse then takes the value
  as given, such as a batch's statistics, so that each observation has a Jacobian of its own. The
  gradient of a loss on activations and reconstructions still flows through the value, unlike
  through `stop_gradient`.

  Call this only in functions that `invert` takes: in code that is differentiated once, the value is
  constant for that one differentiation.

  Args:
    value: any array.

  Returns:
    The same value.
  """
  return value


@hold_in_inverse.defjvp
def _hold_in_inverse_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
  # The rule returns the plain value, without a rule attached: the next differentiation outwards
  # sees an identity.
  (value,), (tangent,) = primals, tangents
  return value, jnp.zeros_like(tangent)
