"""The inverse of a Flax module that was not written in stages."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import tracers

from multiscale_inversion.errors import UserError
from multiscale_inversion.inversion import Inversion


def invert_module(
    module: nn.Module,
    variables: Mapping[str, Any],
    x: jax.Array,
    names: Sequence[str],
    *,
    rngs: Mapping[str, jax.Array] | None = None,
    mutable: Sequence[str] = (),
    **arguments,
) -> Inversion:
  """Runs any Flax module and reconstructs the input and named intermediate values (Eq. 7).

  Zeros are added to the values named, by Flax's interception of calls, and one `jax.vjp` of the
  output with respect to the input and all these zeros gives every reconstruction: one forward and
  one backward pass, without a change to the module. The result equals `invert`'s of the same
  network in stages. It is differentiable again; `hold_in_inverse` works in the module's code.

  Args:
    module: a module whose call takes x first and returns its output, one array.
    variables: the module's variables, as `init` returned them or trained.
    x: the observations, shape [N, ...], floating point.
    names: submodules whose output is to be inverted, by their paths, as `encoder/block_0`, in the
      order in which the result is to hold them. Of a submodule that is called several times,
      `path:k` is the k-th call from 0 on. A submodule returns one array, and neither is nor lies in
      one that `nn.remat`, `nn.jit` or `nn.scan` made: Flax shows of these nothing but the inside.
    rngs: random keys for `apply`.
    mutable: collections that the call updates, as `['batch_stats']`.
    **arguments: passed to the call, as `train=True`.

  Returns:
    The `Inversion`: activations x, those named and the output; reconstructions of all but the last;
    auxiliary, the updated collections, `{}` where none is mutable, for each layer the same.

  Raises:
    UserError: for a name that does not occur, or occurs several times without `:k`.
    TypeError: for a submodule named, or a module, that does not return one floating-point array.

  Example:
    >>> network = nn.Sequential([nn.Dense(4), nn.relu, nn.Dense(2)])
    >>> x = jnp.ones([3, 5])
    >>> result = invert_module(network, network.init(jax.random.key(0), x), x, ['layers_0'])
    >>> [r.shape for r in result.reconstructions]
    [(3, 5), (3, 4)]
  """

  def run(x, additions):
    calls = _Calls(module, names, additions)
    with nn.intercept_methods(calls):
      output, updates = module.apply(
          variables, x, rngs=rngs, mutable=list(mutable), **arguments
      )
    return output, (calls.values, calls.occurring, updates)

  occurring: list[str] = []

  def shapes(x):
    output, (values, found, _) = run(x, None)
    occurring.extend(found)
    return output, values

  output, values = jax.eval_shape(shapes, x)
  _check_names(names, occurring)
  for name in names:
    _check_array(values[name], f'submodule {name}')
  _check_array(output, 'the module')

  zeros = {name: jnp.zeros(values[name].shape, values[name].dtype) for name in names}
  output, pullback, (values, _, updates) = jax.vjp(run, x, zeros, has_aux=True)
  r_input, r_inner = pullback(output)
  return Inversion(
      (x, *(values[name] for name in names), output),
      (r_input, *(r_inner[name] for name in names)),
      tuple(updates for _ in range(len(names) + 1)),
  )


class _Calls:
  """Intercepts the calls of a module's submodules, and adds to the outputs of those named."""

  def __init__(self, module, names, additions):
    self._names, self._additions = set(names), additions
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

  def __call__(self, call, args, kwargs, context):
    output = call(*args, **kwargs)
    path = '/'.join(context.module.path)
    if context.method_name != '__call__' or not path:
      return output
    # Within a lifted transformation (nn.remat, nn.jit, nn.scan) values are those of its own trace:
    # not to be had outside, and nn.jit does not even call again what it has traced before.
    if tracers.current_trace() != self._trace:
      return output
    index = self._counts.get(path, 0)
    self._counts[path] = index + 1
    for name in {path if index == 0 else None, f'{path}:{index}'} & self._names:
      if self._additions is not None:
        output = output + self._additions[name]
      self.values[name] = output
    return output


def _check_names(names: Sequence[str], occurring: Sequence[str]) -> None:
  single = {*occurring}
  # The only call of a submodule may be called `path:0`, too.
  allowed = single | {f'{name}:0' for name in single if ':' not in name}
  for name in names:
    if name not in allowed:
      raise UserError(
          f'invert_module: no submodule {name!r} is called once, outside of nn.remat, nn.jit and '
          f'nn.scan; allowed: {", ".join(occurring)}'
      )


def _check_array(value: Any, what: str) -> None:
  if not hasattr(value, 'dtype') or not jnp.issubdtype(value.dtype, jnp.floating):
    raise TypeError(f'invert_module: {what} does not return one floating-point array')
