"""The inverse of a Flax (Linen) module that is not written in stages."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
from flax import nnx
from flax.core.scope import CollectionFilter

from multiscale_inversion.errors import WrongType
from multiscale_inversion.inversion.calls import Calls, invert_calls
from multiscale_inversion.inversion.stages import Inversion


def invert_module(
    module: nn.Module,
    variables: Mapping[str, Any],
    x: jax.Array,
    names: Sequence[str],
    *,
    rngs: jax.Array | Mapping[str, jax.Array] | None = None,
    mutable: CollectionFilter = (),
    method: str | Callable[..., jax.Array] | None = None,
    **arguments: Any,
) -> Inversion:
  """Run any Flax module and reconstruct its input and named values inside it (Eq. 7).

  Flax's interception of calls adds zeros to the named values; one `jax.vjp` of the output, with
  respect to the input and these zeros, gives every reconstruction. The result is that of `invert`
  for the same network in stages, and differentiable again; `hold_in_inverse` works in the module.

  Args:
    module: a module whose call takes x first and returns its output, one array.
    variables: the module's variables, as `init` returned them or trained; a `FrozenDict` is
      allowed.
    x: the observations, shape [N, ...], floating point.
    names: the submodules whose outputs are inverted, by their paths, such as `encoder/block_0`, in
      the order of the result; `path:k` is the k-th of several calls, from 0 on. A submodule must
      return one array. It must not be, or be inside, a module made by `nn.remat`, `nn.jit` or
      `nn.scan`, whose values Flax shows only inside the transformation.
    rngs: random keys, as `apply` takes them: one for all, or one for each name.
    mutable: collections that the call updates, in any form that `apply` takes.
    method: a method of the module to call in place of `__call__`, as `apply` takes it.
    **arguments: passed to `apply`, such as `train=True`.

  Returns:
    The `Inversion`: the activations x, the named values and the output; the reconstructions of all
    but the last; for each layer the same auxiliary value, the updated collections.

  Raises:
    UserError: if a name does not occur, or occurs several times without `:k`.
    WrongType: if the module or a named submodule does not return one floating-point array, or an
      argument is of another type.

  Example:
    >>> network = nn.Sequential([nn.Dense(4), nn.relu, nn.Dense(2)])
    >>> x = jax.numpy.ones([3, 5])
    >>> result = invert_module(network, network.init(jax.random.key(0), x), x, ['layers_0'])
    >>> [r.shape for r in result.reconstructions]
    [(3, 5), (3, 4)]
  """
  _check_module(module)
  check_variables(variables)
  keys = dict(rngs) if isinstance(rngs, Mapping) else rngs
  updates_any = mutable is not False or arguments.get('capture_intermediates')  # A pair returns.

  def run(x: jax.Array, calls: Calls) -> tuple[jax.Array, Any]:
    with capture(calls):
      out: Any = module.apply(variables, x, rngs=keys, mutable=mutable, method=method, **arguments)
    return out if updates_any else (out, {})

  activations, reconstructions, updates = invert_calls(run, x, names)
  return Inversion(activations, reconstructions, (updates,) * len(reconstructions))


def _check_module(module: Any) -> None:
  if isinstance(module, nnx.Module):
    raise WrongType('invert_module: an NNX module; allowed: a Linen module (invert_nnx_module)')
  if not isinstance(module, nn.Module):
    raise WrongType(f'invert_module: {_called(module)}; allowed: a flax.linen.Module')


def check_variables(variables: Any) -> None:
  """Raise a `TypeError` unless `variables` is a mapping."""
  if not isinstance(variables, Mapping):
    raise WrongType(
        f'variables: {_called(variables)}; allowed: a mapping of collections, as init returns it'
    )


def _called(value: Any) -> str:
  """Name a value's kind in an error."""
  return f'the class {value.__name__}' if isinstance(value, type) else f'a {type(value).__name__}'


def capture(calls: Calls) -> contextlib.AbstractContextManager[None]:
  """Pass the outputs of submodules called in this context through `calls`, by their paths."""

  def intercept(call, args, kwargs, context):
    output = call(*args, **kwargs)
    path = '/'.join(context.module.path)
    if context.method_name != '__call__' or not path:
      return output
    return calls.returned(path, output)

  return nn.intercept_methods(intercept)
