"""The inverse of a Flax NNX module."""

import contextlib
import functools
import types
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import jax
from flax import nnx

from multiscale_inversion.errors import WrongType
from multiscale_inversion.inversion.calls import Calls, invert_calls
from multiscale_inversion.inversion.stages import Inversion


def invert_nnx_module(
    model: nnx.Module, x: jax.Array, names: Sequence[str], **arguments: Any
) -> Inversion:
  """Run an NNX module and reconstruct its input and named values inside it (Eq. 7).

  The counterpart of `invert_module`: one forward and one backward pass, without a change to the
  module's code. The result is differentiable again, by `nnx.grad` with respect to the model.

  A copy of the model runs, in which each submodule has a subclass of its class with the same name.
  Code that compares `type(submodule)` by identity notices it; `isinstance` does not.

  Args:
    model: a module whose call takes x first and returns its output, one array. Its batch statistics
      and the counts of its random keys are updated, as by a call; sown values are dropped.
    x: the observations, shape [N, ...], floating point.
    names: the submodules whose outputs are inverted, by their paths, such as `blocks/0/linear`, in
      the order of the result. If a submodule is called several times, `path:k` is its k-th call,
      from 0 on. A submodule must return one array, and must not be called inside a function that
      `nnx.remat`, `nnx.jit` or `nnx.scan` transforms.
    **arguments: passed to the call.

  Returns:
    The `Inversion`. Its activations are x, the named values and the output; its reconstructions are
    those of all but the last; its auxiliary values are empty.

  Raises:
    UserError: if a name does not occur, or occurs several times without `:k`.
    WrongType: if `model` is not an NNX module; if it or a named submodule does not return one
      floating-point array.

  Example:
    >>> rngs = nnx.Rngs(0)
    >>> model = nnx.Sequential(nnx.Linear(5, 4, rngs=rngs), nnx.relu, nnx.Linear(4, 2, rngs=rngs))
    >>> result = invert_nnx_module(model, jax.numpy.ones([3, 5]), ['layers/0'])
    >>> [r.shape for r in result.reconstructions]
    [(3, 5), (3, 4)]
  """
  if not isinstance(model, nnx.Module):
    raise WrongType(f'invert_nnx_module: a {type(model).__name__}; allowed: a flax.nnx.Module')

  def run(x: jax.Array, calls: Calls) -> tuple[jax.Array, nnx.State | None]:
    copy = nnx.clone(model)
    before = jax.tree.leaves(_variables(copy))
    with _capture(copy, calls):
      output = copy(x, **arguments)
    nnx.pop(copy, nnx.Intermediate)
    after = _variables(copy)
    changed = [*map(id, before)] != [*map(id, jax.tree.leaves(after))]
    return output, after if changed else None

  activations, reconstructions, updated = invert_calls(run, x, names)
  # In evaluation mode the model is not modified, so a frozen or shared model may be passed.
  if updated is not None:
    nnx.update(model, updated)
  return Inversion(activations, reconstructions, ({},) * len(reconstructions))


def _variables(model: nnx.Module) -> nnx.State:
  """Return the variables that a call may update."""
  return nnx.state(model, nnx.Not(nnx.Param))


class _Observed(nnx.Module):
  """The first base of the classes of a copy's submodules, whose calls are reported.

  NNX does not intercept calls, and Python looks up `__call__` in the class. JAX and NNX register
  classes for good, so that there is one subclass for each class, which all runs share.
  """

  # The submodules that are reporting now, by `id`: their paths, and where they report to.
  running: ClassVar[dict[int, tuple[str, Calls]]] = {}

  def __init_subclass__(cls, **options: Any) -> None:
    # Only NNX registers this class: a custom `__init_subclass__` must not see it.
    nnx.Module.__init_subclass__.__func__(cls, **options)  # type: ignore[attr-defined]


@functools.cache
def _observed(cls: type[nnx.Module]) -> type[nnx.Module]:
  """Return the subclass of a submodule's class that reports its calls."""
  if issubclass(cls, _Observed):  # in a submodule that inverts a module of its own
    return cls

  @functools.wraps(cls.__call__)
  def call(self: Any, *args: Any, **kwargs: Any) -> Any:
    run = super(_Observed, self).__call__
    # Transformations (remat, jit, scan) call copies of their own, which do not report.
    known = _Observed.running.pop(id(self), None)
    if known is None:
      return run(*args, **kwargs)
    try:
      output = run(*args, **kwargs)  # a recursive call inside does not report
    finally:
      _Observed.running[id(self)] = known
    path, calls = known
    return calls.returned(path, output)

  # NNX's own attributes of a class, which those of `_Observed` would hide; their names depend on
  # NNX's version.
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
