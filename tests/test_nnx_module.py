"""NNX modules, against explicit Jacobians, finite differences and plain calls."""

import inspect
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


class Scaled(nnx.Linear):
  """A submodule that calls its base class, which is one of the model's, too."""

  def __call__(self, x):
    return 2 * super().__call__(x)


class Inquisitive(nnx.Module):
  """It looks at what its submodules are."""

  registered: ClassVar[list[type]] = []

  def __init_subclass__(cls, *, tag='', **options):
    super().__init_subclass__(**options)
    cls.registered.append(cls)

  def __init__(self, rngs):
    self.first, self.second = linear(3, 3, rngs), Scaled(3, 2, rngs=rngs, param_dtype=jnp.float64)
    self.table = Table(rngs)

  def __call__(self, x):
    assert type(self.first) is nnx.Linear and not callable(self.table)
    assert next(iter(inspect.signature(self.first.__call__).parameters)) == 'inputs'
    return self.second(jnp.tanh(self.first(x)) * self.table.values[...])


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
  dense = lambda module, z: z @ module.kernel[...] + module.bias[...]

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


def test_what_is_transformed(x):
  """Its output can be named, the inside cannot; the values are those without."""
  names = ['branch', 'inner']
  expected = invert_nnx_module(Branched(nnx.Rngs(0)), x, names)
  model = Branched(nnx.Rngs(0), Recomputed)
  found = invert_nnx_module(model, x, names)
  for ours, plain in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(ours, plain, rtol=1e-12)
  with pytest.raises(UserError, match=r"'inner/dense' .*: shared:0, shared:1, branch, inner, h"):
    invert_nnx_module(model, x, ['inner/dense'])


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


def test_the_model_sees_nothing_of_it(x):
  calls, registered = (nnx.Linear.__call__, Scaled.__call__), [*Inquisitive.registered]
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
  assert '__call__' not in vars(Table)
  assert Inquisitive.registered == registered
