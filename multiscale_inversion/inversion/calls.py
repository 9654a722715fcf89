"""The inverse of a function at values inside it, which its calls of submodules yield.

Where a network is no chain of layers, what reconstructs a value is the derivative of the output
with respect to zeros that are added to it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

import jax
import jax.numpy as jnp
from flax.core import tracers

from multiscale_inversion.errors import UserError
from multiscale_inversion.inversion.stages import as_activation


class Calls:
  """The calls of a module's submodules, as they are made; adds to the outputs of those named.

  Args:
    names: of the calls whose outputs are kept: a submodule's path, or `path:k` for its k-th call.
    additions: what is added to them, by name; nothing if None.

  Attributes:
    values: the outputs kept, after the addition, by name.
  """

  def __init__(self, names: Sequence[str], additions: dict[str, jax.Array] | None = None):
    self._names, self._additions = names, additions
    self._counts: dict[str, int] = {}
    self._trace = tracers.current_trace()
    self.values: dict[str, Any] = {}

  @property
  def occurring(self) -> list[str]:
    """Names of all calls: a path, or `path:k` where there are several."""
    names = []
    for path, count in self._counts.items():
      names += [path] if count == 1 else [f'{path}:{k}' for k in range(count)]
    return names

  def returned(self, path: str, output: Any) -> Any:
    """Takes note of a submodule's call; returns what the call is to yield."""
    # Within a lifted transformation (remat, jit, scan) values are those of its own trace: not to be
    # had outside, and jit does not even call again what it has traced before.
    if tracers.current_trace() != self._trace:
      return output
    index = self._counts.get(path, 0)
    self._counts[path] = index + 1
    for name in {path if index == 0 else None, f'{path}:{index}'} & {*self._names}:
      if self._additions is not None:
        output = output + self._additions[name]
      self.values[name] = output
    return output

  def check(self) -> None:
    """Checks that each name was called once, and yielded what can be inverted.

    Raises:
      UserError: for a name that does not occur, or occurs several times without `:k`.
      TypeError: for a call that did not return one floating-point array.
    """
    single = {*self.occurring}
    # The only call of a submodule may be called `path:0`, too.
    allowed = single | {f'{name}:0' for name in single if ':' not in name}
    for name in self._names:
      if name not in allowed:
        raise UserError(
            f'no submodule {name!r} is called once, outside of remat, jit and scan; '
            f'allowed: {", ".join(self.occurring)}'
        )
      check_array(self.values[name], f'submodule {name}')


def _as_names(names: Any) -> list[str]:
  """The names as a list; a `TypeError` for a single one, and for what has no order."""
  if isinstance(names, str):
    raise TypeError(f'names: the string {names!r}; allowed: a sequence of names')
  if not isinstance(names, Iterable) or isinstance(names, Set | Mapping):
    raise TypeError(f'names: a {type(names).__name__}; allowed: a sequence of names')
  return list(names)


def check_array(value: Any, what: str) -> None:
  """Raises a `TypeError` unless the value is one floating-point array."""
  if not hasattr(value, 'dtype') or not jnp.issubdtype(value.dtype, jnp.floating):
    raise TypeError(f'{what} does not return one floating-point array')


def invert_calls(
    run: Callable[[jax.Array, Calls], tuple[jax.Array, Any]], x: jax.Array, names: Sequence[str]
) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...], Any]:
  """Reconstructs a function's input and the values named, in one forward and one backward pass.

  Args:
    run: (x, calls) -> (output, auxiliary value), which passes the outputs of its submodules through
      `calls.returned`. It is traced twice.
    x: the observations, shape [N, ...], floating point.
    names: see `Calls`.

  Returns:
    The activations (x, the values named, the output), the reconstructions of all but the last, and
    the auxiliary value.

  Raises:
    UserError: as `Calls.check`.
    TypeError: as `Calls.check`; also for an x or an output that is not one floating-point array,
      and for names that are a string or have no order.
  """
  names = _as_names(names)
  x = as_activation(x, 'x')
  made = []

  def shapes(x):
    calls = Calls(names)
    made.append(calls)
    return run(x, calls)[0], calls.values

  output, values = jax.eval_shape(shapes, x)
  made[0].check()
  check_array(output, 'the module')

  def run_with(x, additions):
    calls = Calls(names, additions)
    output, auxiliary = run(x, calls)
    return output, (calls.values, auxiliary)

  zeros = {name: jnp.zeros(value.shape, value.dtype) for name, value in values.items()}
  output, pullback, (values, auxiliary) = jax.vjp(run_with, x, zeros, has_aux=True)
  r_input, r_inner = pullback(output)
  activations = (x, *(values[name] for name in names), output)
  return activations, (r_input, *(r_inner[name] for name in names)), auxiliary
