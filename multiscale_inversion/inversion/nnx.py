"""The inverse of a Flax NNX module."""

import contextlib
import functools
import types
from collections.abc import Iterator, Sequence
from typing import ClassVar

import jax
from flax import nnx

from multiscale_inversion.inversion.calls import Calls, invert_calls
from multiscale_inversion.inversion.stages import Inversion


def invert_nnx_module(
    model: nnx.Module, x: jax.Array, names: Sequence[str], **arguments
) -> Inversion:
  """Runs an NNX module and reconstructs the input and named intermediate values (Eq. 7).

  What `invert_module` is for Linen: one forward and one backward pass, without a change to the
  module. It is differentiable again, by `nnx.grad` with respect to the model.

  Args:
    model: a module whose call takes x first and returns its output, one array. As by a call, its
      batch statistics and the counts of its random keys are updated; what it sows is not kept.
    x: the observations, shape [N, ...], floating point.
    names: submodules whose output is to be inverted, by their paths, as `blocks/0/linear`, in the
      order in which the result is to hold them. Of a submodule that is called several times,
      `path:k` is the k-th call from 0 on. A submodule returns one array, and does not lie in what
      `nnx.remat`, `nnx.jit` or `nnx.scan` transforms.
    **arguments: passed to the call.

  Returns:
    The `Inversion`: activations x, those named and the output; reconstructions of all but the last;
    an empty auxiliary value for each layer.

  Raises:
    UserError: for a name that does not occur, or occurs several times without `:k`.
    TypeError: for a model that is no NNX module; for a submodule named, or a model, that does not
      return one floating-point array.

  Example:
    >>> rngs = nnx.Rngs(0)
    >>> model = nnx.Sequential(nnx.Linear(5, 4, rngs=rngs), nnx.relu, nnx.Linear(4, 2, rngs=rngs))
    >>> result = invert_nnx_module(model, jax.numpy.ones([3, 5]), ['layers/0'])
    >>> [r.shape for r in result.reconstructions]
    [(3, 5), (3, 4)]
  """
  if not isinstance(model, nnx.Module):
    raise TypeError(f'invert_nnx_module: a {type(model).__name__}; allowed: a flax.nnx.Module')

  def run(x, calls):
    copy = nnx.clone(model)
    before = jax.tree.leaves(_variables(copy))
    with _capture(copy, calls):
      output = copy(x, **arguments)
    nnx.pop(copy, nnx.Intermediate)
    after = _variables(copy)
    changed = [*map(id, before)] != [*map(id, jax.tree.leaves(after))]
    return output, after if changed else None

  activations, reconstructions, updated = invert_calls(run, x, names)
  if updated is not None:  # in evaluation, a model may be of where it must not be changed
    nnx.update(model, updated)
  return Inversion(activations, reconstructions, ({},) * len(reconstructions))


def _variables(model: nnx.Module) -> nnx.State:
  """What a call may update."""
  return nnx.state(model, nnx.Not(nnx.Param))


class _Observed(nnx.Module):
  """Report the calls of a submodule: the first base of the class that it gets in a copy.

  NNX does not intercept calls, and Python looks up `__call__` in the class. A subclass is made once
  for each class, because JAX and NNX register classes for good.
  """

  # By `id`, the submodules whose calls are reported now: their paths and where to report.
  running: ClassVar[dict[int, tuple[str, Calls]]] = {}

  def __init_subclass__(cls, **options) -> None:
    # NNX's registration alone: a custom `__init_subclass__` must not see this class.
    nnx.Module.__init_subclass__.__func__(cls, **options)  # type: ignore[attr-defined]


@functools.cache
def _observed(cls: type[nnx.Module]) -> type[nnx.Module]:
  """Return the subclass of a submodule's class that reports its calls."""
  if issubclass(cls, _Observed):  # the model is a submodule of one that is being inverted
    return cls

  @functools.wraps(cls.__call__)
  def call(self, *args, **kwargs):
    run = super(_Observed, self).__call__
    # Transformations (remat, jit, scan) call a copy of their own, which is not in the table.
    known = _Observed.running.pop(id(self), None)
    if known is None:
      return run(*args, **kwargs)
    try:
      output = run(*args, **kwargs)  # out of the table: a call of itself inside does not count
    finally:
      _Observed.running[id(self)] = known
    path, calls = known
    return calls.returned(path, output)

  # What NNX notes on a class, and has noted on `_Observed`, too; names vary with its version.
  notes = [name for name in vars(_Observed) if name.endswith(('__nodes', '__is_pytree'))]
  pytree = any(getattr(cls, name) for name in notes if name.endswith('__is_pytree'))
  names = ('__module__', '__qualname__', '__doc__', *notes)
  namespace = {name: getattr(cls, name) for name in names} | {'__call__': call}
  return types.new_class(
      cls.__name__, (_Observed, cls), {'pytree': pytree}, lambda new: new.update(namespace)
  )


@contextlib.contextmanager
def _capture(model: nnx.Module, calls: Calls) -> Iterator[None]:
  """Pass the outputs of a model's submodules through `calls`, by their paths.

  Args:
    model: a private copy, whose submodules keep their new classes.
    calls: where the outputs go.
  """
  found: dict[int, tuple[str, Calls]] = {}
  for path, module in nnx.iter_graph(model):
    if path and isinstance(module, nnx.Module) and callable(module):
      # Not by NNX's own `__setattr__`, which refuses another trace's modules.
      object.__setattr__(module, '__class__', _observed(type(module)))
      found[id(module)] = '/'.join(map(str, path)), calls
  _Observed.running.update(found)
  try:
    yield
  finally:
    for key in found:
      del _Observed.running[key]
