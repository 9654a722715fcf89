"""The inverse of a Flax NNX module."""

import contextlib
import contextvars
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

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


# What takes the outputs of the model that is running, and its submodules' paths by their identity.
_Capture = tuple[Calls, dict[int, str]]
_CAPTURE: contextvars.ContextVar[_Capture | None] = contextvars.ContextVar('capture', default=None)
_LOCK = threading.RLock()


@contextlib.contextmanager
def _capture(model: nnx.Module, calls: Calls) -> Iterator[None]:
  """Passes the outputs of submodules that are called within through `calls`, by their paths.

  NNX has no interception of calls: the submodules' classes have another `__call__` meanwhile, which
  does nothing else for other models and in other threads.
  """
  paths, classes = {}, {}
  for path, module in nnx.iter_graph(model):
    if path and isinstance(module, nnx.Module):
      paths[id(module)] = '/'.join(map(str, path))
      defining = (c for c in type(module).__mro__ if '__call__' in vars(c))
      classes |= {c: vars(c)['__call__'] for c in defining}
  token = _CAPTURE.set((calls, paths))
  with _LOCK:
    for cls, original in classes.items():
      cls.__call__ = _captured(original)
    try:
      yield
    finally:
      for cls, original in classes.items():
        cls.__call__ = original
      _CAPTURE.reset(token)


def _captured(original: Any) -> Callable[..., Any]:
  """A class's `__call__` that captures its outermost call of a module, not that of a base class."""

  @functools.wraps(original)
  def call(self, *args, **kwargs):
    calls, paths = _CAPTURE.get() or (None, {})
    run = original.__get__(self, type(self))
    path = paths.pop(id(self), None)  # none in a transformation, which makes a copy of its own
    if path is None:
      return run(*args, **kwargs)
    try:
      output = run(*args, **kwargs)
    finally:
      paths[id(self)] = path
    return calls.returned(path, output)

  return call
