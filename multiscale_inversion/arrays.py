"""Arrays that a user gives, checked: each error names the argument and what is allowed."""

from typing import Any

import jax
import jax.numpy as jnp

from multiscale_inversion.errors import UserError

_KINDS = {'floating-point numbers': jnp.floating, 'integers': jnp.integer}


def as_array(value: Any, what: str) -> jax.Array:
  """Return an array of JAX or NumPy, or nested sequences of numbers, as an array of JAX.

  Args:
    value: what the user gave.
    what: its name, for errors.

  Raises:
    TypeError: if it is none of these.
  """
  try:
    return jnp.asarray(value)
  except (TypeError, ValueError) as error:
    raise TypeError(
        f'{what} is a {type(value).__name__} that makes no array of numbers; allowed: an array'
    ) from error


def as_shaped(
    value: Any, what: str, shape: tuple[int | str, ...], kind: str | None = None
) -> jax.Array:
  """Return an array of a shape and, if one is given, a kind of numbers.

  Args:
    value: see `as_array`.
    what: its name, for errors.
    shape: a size for each axis; a letter stands for any.
    kind: `floating-point numbers` or `integers`.

  Raises:
    TypeError: for what is no array, or of other numbers.
    UserError: for another shape.
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
    raise TypeError(f'{what} is an array of {value.dtype}; allowed: {kind}')
  return value
