"""Checks of arrays that users pass: each error names the argument and what is allowed."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from multiscale_inversion.errors import UserError, WrongType

HostOrDevice = np.ndarray | jax.Array  # arrays that are placed on devices later

_KINDS = {'floating-point numbers': jnp.floating, 'integers': jnp.integer}


def as_array(value: Any, what: str) -> jax.Array:
  """Return an argument as a JAX array.

  Args:
    value: an array of JAX or NumPy, or nested sequences of numbers.
    what: the name of the argument in errors.

  Raises:
    WrongType: if `value` does not make an array.
  """
  try:
    return jnp.asarray(value)
  except (TypeError, ValueError) as error:
    raise WrongType(
        f'{what} is a {type(value).__name__} that makes no array of numbers; allowed: an array'
    ) from error


def as_shaped(
    value: Any, what: str, shape: tuple[int | str, ...], kind: str | None = None
) -> jax.Array:
  """Return an argument as a JAX array of a given shape and, if given, kind of numbers.

  Args:
    value: see `as_array`.
    what: the name of the argument in errors.
    shape: a size for each axis; a letter stands for any size.
    kind: `floating-point numbers` or `integers`.

  Raises:
    WrongType: if `value` does not make an array, or makes one of another kind of numbers.
    UserError: if the shape is another one.
  """
  value = as_array(value, what)
  fits = value.ndim == len(shape) and all(
      isinstance(wanted, str) or size == wanted
      for size, wanted in zip(value.shape, shape, strict=True)
  )
  if not fits:
    allowed = ', '.join(map(str, shape))
    raise UserError(f'{what} has the shape {value.shape}; allowed: [{allowed}]')
  if kind and not jnp.issubdtype(value.dtype, _KINDS[kind]):
    raise WrongType(f'{what} is an array of {value.dtype}; allowed: {kind}')
  return value
