"""The inverse of a function at the outputs of submodules that it calls.

Where a network is not a chain of layers, zeros are added to the outputs of submodules. The
derivative of the network's output with respect to these zeros reconstructs the submodules'
outputs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

import jax
import jax.numpy as jnp
from flax.core import tracers

from multiscale_inversion.errors import UserError, WrongType
from multiscale_inversion.inversion.stages import as_activation


class Calls:
  """Record the calls of a module's submodules, and add to the outputs of the named ones.

  Args:
    names: the calls whose outputs are kept: a submodule's path, or `path:k` for its k-th call.
    additions: the arrays to add to them, by name; nothing if None.

  Attributes:
    values: the outputs that are kept, after the addition, by name.
  """

  def __init__(self, names: Sequence[str], additions: Mapping[str, jax.Array] | None = None):
    self._names, self._additions = names, additions
    self._counts: dict[str, int] = {}
    self._trace = tracers.current_trace()
    self.values: dict[str, Any] = {}

  @property
  def occurring(self) -> list[str]:
    """The names of all calls: a path, or `path:k` where there are several."""
    names = []
    for path, count in self._counts.items():
      names += [path] if count == 1 else [f'{path}:{k}' for k in range(count)]
    return names

  def returned(self, path: str, output: Any) -> Any:
    """Record a submodule's call, and return the output that the call must have."""
    # Within a lifted transformation (remat, jit, scan), values belong to its own trace: they cannot
    # be used outside, and jit does not call again what it has traced before.
    if tracers.current_trace() != self._trace:
      return output
    index = self._counts.get(path, 0)
    self._counts[path] = index + 1
    names = {path, f'{path}:0'} if index == 0 else {f'{path}:{index}'}
    for name in names & {*self._names}:
      if self._additions is not None:
        output = output + self._additions[name]
      self.values[name] = output
    return output

  def check(self) -> None:
    """Check that each name was called once, and that its output can be inverted.

    Raises:
      UserError: if a name does not occur, or occurs several times without `:k`.
      WrongType: if a call did not return one floating-point array.
    """
    single = {*self.occurring}
    # `path:0` also names the only call of a submodule.
    allowed = single | {f'{name}:0' for name in single if ':' not in name}
    for name in self._names:
      if name not in allowed:
        raise UserError(
            f'no submodule {name!r} is called once, outside of remat, jit and scan; '
            f'allowed: {", ".join(self.occurring)}'
        )
      check_array(self.values[name], f'submodule {name}')


def _as_names(names: Any) -> list[str]:
  """Return names as a list; raise a `TypeError` for a single string and for unordered names."""
  if isinstance(names, str):
    raise WrongType(f'names: the string {names!r}; allowed: a sequence of names')
  if not isinstance(names, Iterable) or isinstance(names, Set | Mapping):
    raise WrongType(f'names: a {type(names).__name__}; allowed: a sequence of names')
  return list(names)


def check_array(value: Any, what: str) -> None:
  """Raise a `TypeError` unless the value is one floating-point array."""
  if not hasattr(value, 'dtype') or not jnp.issubdtype(value.dtype, jnp.floating):
    raise WrongType(f'{what} does not return one floating-point array')


def invert_calls(
    run: Callable[[jax.Array, Calls], tuple[jax.Array, Any]], x: jax.Array, names: Sequence[str]
) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...], Any]:
  """Reconstruct a function's input and named values inside it.

  It takes one forward and one backward pass.

  Args:
    run: (x, calls) -> (output, auxiliary value). It passes the outputs of its submodules through
      `calls.returned`, and is traced twice.
    x: the observations, shape [N, ...], floating point.
    names: see `Calls`.

  Returns:
    The activations (x, the named values, the output), the reconstructions of all but the last, and
    the auxiliary value.

  Raises:
    UserError: see `Calls.check`.
    WrongType: see `Calls.check`; also if x or the output is not one floating-point array, or if
      `names` is a string or has no order.
  """
  names = _as_names(names)
  x = as_activation(x, 'x')
  made: list[Calls] = []

  def shapes(x: jax.Array) -> tuple[jax.Array, dict[str, Any]]:
    calls = Calls(names)
    made.append(calls)
    return run(x, calls)[0], calls.values

  output, values = jax.eval_shape(shapes, x)
  made[0].check()
  check_array(output, 'the module')

  def run_with(x: jax.Array, additions: dict[str, jax.Array]) -> tuple[jax.Array, Any]:
    calls = Calls(names, additions)
    output, auxiliary = run(x, calls)
    return output, (calls.values, auxiliary)

  zeros = {name: jnp.zeros(value.shape, value.dtype) for name, value in values.items()}
  output, pullback, (values, auxiliary) = jax.vjp(run_with, x, zeros, has_aux=True)
  r_input, r_inner = pullback(output)
  activations = (x, *(values[name] for name in names), output)
  return activations, (r_input, *(r_inner[name] for name in names)), auxiliary
