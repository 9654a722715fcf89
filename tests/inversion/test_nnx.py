"""NNX modules, against explicit Jacobians, finite differences and plain calls."""

import concurrent.futures
import inspect
import threading
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from multiscale_inversion import invert_module, invert_nnx_module, losses
from multiscale_inversion.errors import UserError
from tests import problems

pytestmark = pytest.mark.usefixtures('little_optimization', 'float64')


def linear(size, features, rngs):
  return nnx.Linear(size, features, rngs=rngs, param_dtype=jnp.float64)


class Inner(nnx.Module):
  def __init__(self, rngs):
    self.dense = linear(3, 4, rngs)

  def __call__(self, x):
    return jnp.tanh(self.dense(x))


class Recomputed(Inner):
  @nnx.remat
  def __call__(self, x):
    return super().__call__(x)


class Compiled(Inner):
  @nnx.jit
  def __call__(self, x):
    return super().__call__(x)


class Opaque(Inner, pytree=False):
  pass


class Scanned(nnx.Module):
  """A dense map in a loop of one turn, whose parameters have a leading axis."""

  def __init__(self, rngs):
    make = nnx.vmap(Inner)
    self.steps = make(nnx.Rngs(params=rngs.params()[None]))

  def __call__(self, x):
    step = lambda carry, inner: (carry, inner(carry))
    return nnx.scan(step, in_axes=(nnx.Carry, 0), out_axes=(nnx.Carry, 0))(x, self.steps)[1][0]


class Branched(nnx.Module):
  """A sum of two branches, a shared submodule called twice, a submodule inside another."""

  def __init__(self, rngs, inner=Inner):
    self.shared = linear(3, 3, rngs)
    self.branch = linear(3, 3, rngs)
    self.inner = inner(rngs)
    self.head = linear(4, 2, rngs)

  def __call__(self, x, scale=1.0):
    y = jnp.tanh(self.shared(x)) * scale + self.branch(jnp.sin(x))
    return self.head(self.inner(jnp.tanh(self.shared(y))))


class Statistics(nnx.Module):
  def __init__(self, rngs):
    self.hidden = linear(3, 5, rngs)
    self.norm = nnx.BatchNorm(5, rngs=rngs, param_dtype=jnp.float64)
    self.dropout = nnx.Dropout(0.4, rngs=rngs)
    self.head = linear(5, 2, rngs)

  def __call__(self, x):
    return self.head(self.dropout(jnp.tanh(self.norm(self.hidden(x)))))


class Registering(nnx.Linear):
  """A base class that keeps a list of its subclasses, each with a tag."""

  registered: ClassVar[list[type]] = []

  def __init_subclass__(cls, *, tag, **options):
    super().__init_subclass__(**options)
    cls.registered.append((tag, cls))


class Scaled(Registering, tag='scaled'):
  """A submodule that calls its base class, and itself."""

  def __call__(self, x, again=True):
    return self(x, again=False) if again else 2 * super().__call__(x)


class Inquisitive(nnx.Module):
  """It looks at what its submodules are."""

  def __init__(self, rngs):
    self.first, self.second = linear(3, 3, rngs), Scaled(3, 2, rngs=rngs, param_dtype=jnp.float64)
    self.table = Table(rngs)

  def __call__(self, x):
    assert isinstance(self.first, nnx.Linear) and not callable(self.table)
    assert repr(type(self.first)) == repr(nnx.Linear)
    assert next(iter(inspect.signature(self.first.__call__).parameters)) == 'inputs'
    return self.second(jnp.tanh(self.first(x)) * self.table.values[...][None])


class Table(nnx.Module):
  def __init__(self, rngs):
    self.values = nnx.Param(jnp.arange(3.0))


@pytest.fixture
def x(float64):
  return jnp.asarray(np.random.RandomState(0).standard_normal((4, 3)))


def test_branches(x):
  """Against the Jacobian by an addition to the value, taken forward, one call at a time."""
  model = Branched(nnx.Rngs(0))
  widths = {'shared:0': 3, 'branch': 3, 'shared:1': 3, 'inner': 4, 'inner/dense': 4}
  found = nnx.jit(lambda model, x: invert_nnx_module(model, x, [*widths], scale=0.5))(model, x)
  dense = lambda module, z: z @ module.kernel[...] + module.bias[...][None]

  def by_hand(x, added):
    y = jnp.tanh(dense(model.shared, x) + added['shared:0']) * 0.5
    y = y + dense(model.branch, jnp.sin(x)) + added['branch']
    y = jnp.tanh(dense(model.shared, y) + added['shared:1'])
    y = jnp.tanh(dense(model.inner.dense, y) + added['inner/dense']) + added['inner']
    return dense(model.head, y)

  problems.assert_inverted(found, by_hand, x, widths)


def test_updates_what_a_call_updates(x):
  """Batch statistics and the counts of random keys, once each, and nothing else."""
  model = Statistics(nnx.Rngs(3))
  called = nnx.clone(model)
  before = nnx.to_pure_dict(nnx.state(model, nnx.Param))
  found = invert_nnx_module(model, x, ['norm', 'dropout'])
  np.testing.assert_array_equal(found.activations[-1], called(x))
  np.testing.assert_allclose(model.norm.mean[...], called.norm.mean[...], rtol=1e-12)
  assert model.dropout.rngs.count[...] == called.dropout.rngs.count[...] == 1
  after = nnx.to_pure_dict(nnx.state(model, nnx.Param))
  jax.tree.map(np.testing.assert_array_equal, after, before)
  assert [type(module) for module in (model.norm, model)] == [nnx.BatchNorm, Statistics]
  # The mask, and the values dropped, are the same both ways.
  dropped = np.asarray(found.activations[2]) == 0
  assert 0 < dropped.sum() < dropped.size
  again = invert_nnx_module(model, x, ['norm', 'dropout'])
  assert not np.array_equal(np.asarray(again.activations[2]) == 0, dropped)


def test_gradients(x):
  """Of a loss on reconstructions with respect to the model, against finite differences."""
  model = Statistics(nnx.Rngs(3))
  model.eval()
  graph, params, rest = nnx.split(model, nnx.Param, ...)

  def loss(model):
    return jnp.sum(losses.multiscale_reconstruction(invert_nnx_module(model, x, ['norm'])))

  gradient = nnx.to_pure_dict(nnx.jit(nnx.grad(loss))(model))
  random, step = np.random.RandomState(1), 1e-6
  direction = jax.tree.map(lambda leaf: random.standard_normal(leaf.shape), params)
  moved = lambda s: jax.tree.map(lambda p, d: p + s * step * d, params, direction)
  value = jax.jit(lambda params: loss(nnx.merge(graph, params, rest)))
  expected = (value(moved(1)) - value(moved(-1))) / (2 * step)
  products = jax.tree.map(lambda g, d: np.sum(g * d), gradient, nnx.to_pure_dict(direction))
  np.testing.assert_allclose(sum(jax.tree.leaves(products)), expected, rtol=1e-6)


@pytest.mark.parametrize('inner', [Recomputed, Compiled, Scanned])
def test_what_is_transformed(x, inner):
  """Its output can be named, the inside cannot; values and gradients are those without."""
  names = ['branch', 'inner']

  def found(model):
    inversion = invert_nnx_module(model, x, names)
    return jnp.sum(losses.multiscale_reconstruction(inversion)), inversion

  plain, transformed = Branched(nnx.Rngs(0)), Branched(nnx.Rngs(0), inner)
  dense = transformed.inner.steps.dense if inner is Scanned else transformed.inner.dense
  transformed.head = nnx.clone(plain.head)  # the scanned form draws its parameters otherwise
  for name in ('kernel', 'bias'):
    value = getattr(plain.inner.dense, name)[...]
    getattr(dense, name)[...] = value[None] if inner is Scanned else value
  expected, ours = (nnx.grad(found, has_aux=True)(model) for model in (plain, transformed))
  for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(np.asarray(a).reshape(b.shape), b, rtol=1e-12, atol=1e-14)
  with pytest.raises(UserError, match=r"'inner/dense' .*: shared:0, shared:1, branch, inner, h"):
    invert_nnx_module(transformed, x, ['inner/dense'])


def test_a_module_that_is_no_pytree(x):
  expected, found = (
    invert_nnx_module(Branched(nnx.Rngs(0), inner), x, ['inner/dense', 'inner'])
    for inner in (Inner, Opaque)
  )
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_compiled_submodule_is_compiled_once(x):
  """However often the model is inverted: its submodules' classes stay the same."""
  traced = []

  class Counting(Inner):
    @nnx.jit
    def __call__(self, x):
      traced.append(type(self.dense))
      return super().__call__(x)

  model = Branched(nnx.Rngs(0), Counting)
  invert_nnx_module(model, x, ['branch'])
  before = len(traced)
  assert 0 < before <= 2  # for its shapes, and for its derivative
  invert_nnx_module(model, x, ['inner'])
  assert len(traced) == before


def test_threads_have_runs_of_their_own(x):
  """Two runs of one model at the same time, each waiting for the other inside it."""
  barrier = threading.Barrier(2, timeout=60)

  class Waiting(Inner):
    def __call__(self, x):
      barrier.wait()
      return super().__call__(x)

  model = Branched(nnx.Rngs(0), Waiting)
  names = [['inner/dense'], ['shared:1', 'inner']]
  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    found = list(pool.map(lambda chosen: invert_nnx_module(model, x, chosen), names))
  for ours, chosen in zip(found, names, strict=True):
    expected = invert_nnx_module(Branched(nnx.Rngs(0)), x, chosen)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-12)


def test_an_inversion_inside_a_submodule(x):
  """A submodule that inverts one of its own is inverted like any other."""

  class Inverting(Inner):
    def __call__(self, x):
      return super().__call__(x) + invert_nnx_module(self.dense, x, []).reconstructions[0].sum()

  model = Branched(nnx.Rngs(0), Inverting)
  found = invert_nnx_module(model, x, ['inner/dense', 'inner'])
  kernel, bias = (model.inner.dense.kernel[...], model.inner.dense.bias[...])
  entering = jnp.tanh(model.shared(jnp.tanh(model.shared(x)) + model.branch(jnp.sin(x))))
  dense = entering @ kernel + bias[None]
  np.testing.assert_allclose(found.activations[1], dense, rtol=1e-12)
  inner = jnp.tanh(dense) + (dense @ kernel.T).sum()
  np.testing.assert_allclose(found.activations[2], inner, rtol=1e-12)


@pytest.mark.parametrize('name', ['nothing', 'shared', 'shared:2', 'branch:1', ''])
def test_a_name_that_does_not_occur(x, name):
  with pytest.raises(UserError, match=f'{name!r} .*: shared:0, shared:1, branch, inner/dense, '):
    invert_nnx_module(Branched(nnx.Rngs(0)), x, ['branch', name])


def test_modules_of_the_other_kind(x):
  with pytest.raises(TypeError, match=r'an NNX module; .*invert_nnx_module'):
    invert_module(Branched(nnx.Rngs(0)), {}, x, [])
  with pytest.raises(TypeError, match=r'a function; allowed: a flax\.nnx\.Module'):
    invert_nnx_module(lambda x: x, x, [])


def test_one_backward_pass(x):
  """As many products as a forward and a backward pass have, however many values are named."""
  model = Branched(nnx.Rngs(0))

  def products(names):
    jaxpr = jax.make_jaxpr(lambda x: invert_nnx_module(model, x, names).reconstructions)(x)
    return str(jaxpr).count('dot_general')

  assert products(['inner', 'branch', 'shared:1', 'shared:0']) == products(['inner'])


def test_the_model_sees_little_of_it(x):
  """Its submodules are of subclasses, alike but in identity, which no hook is told of."""
  calls, registered = (nnx.Linear.__call__, Scaled.__call__), [*Registering.registered]
  model = Inquisitive(nnx.Rngs(0))
  expected = model(x)
  found = invert_nnx_module(model, x, ['first', 'second'])
  np.testing.assert_array_equal(found.activations[-1], expected)
  np.testing.assert_array_equal(found.activations[2], expected)
  # r of the last value is the output itself; of a base class's call inside nothing is added.
  np.testing.assert_array_equal(found.reconstructions[2], expected)
  with pytest.raises(UserError, match=r'allowed: first, second$'):
    invert_nnx_module(model, x, ['table'])
  assert (nnx.Linear.__call__, Scaled.__call__) == calls
  assert [type(m) for m in (model.first, model.second)] == [nnx.Linear, Scaled]
  assert '__call__' not in vars(Table)
  assert [('scaled', Scaled)] == Registering.registered == registered
