"""Modules that were not written in stages, against the staged form and explicit Jacobians."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from multiscale_inversion import invert, invert_module, losses
from multiscale_inversion.errors import UserError
from tests import problems

pytestmark = pytest.mark.usefixtures('little_optimization')


class Inner(nn.Module):
  @nn.compact
  def __call__(self, x):
    return jnp.tanh(nn.Dense(4, name='dense')(x))


class Branched(nn.Module):
  """A sum of two branches, a shared submodule called twice, a submodule inside another."""

  @nn.compact
  def __call__(self, x, scale=1.0):
    shared = nn.Dense(3, name='shared')
    y = jnp.tanh(shared(x)) * scale + nn.Dense(3, name='branch')(jnp.sin(x))
    y = jnp.tanh(shared(y))
    y = Inner(name='inner')(y)
    return nn.Dense(2, name='head')(y)


@pytest.fixture
def branched(float64):
  module = Branched()
  random = np.random.RandomState(0)
  x = jnp.asarray(random.standard_normal((2, 3)))
  shapes = jax.eval_shape(module.init, jax.random.key(0), x)
  variables = jax.tree.map(lambda leaf: jnp.asarray(random.standard_normal(leaf.shape)), shapes)
  return module, variables, x


@pytest.mark.parametrize('case', ['large_cnn', 'resnet_max'])
@pytest.mark.parametrize('mode', ['frozen', 'batch', 'running'])
def test_equals_the_staged_form(float64, case, mode):
  problem = problems.make(case, mode)
  network, variables, x = problem.network, problem.variables(), jnp.asarray(problem.x)

  class Logits(type(network)):
    """The network as an outsider would write it: it returns logits alone."""

    def __call__(self, x):
      z = x
      for layer in self.layers:
        z = layer(z, train=True, inverse=True)
      return z

  fields = [field.name for field in dataclasses.fields(network)]
  options = {name: getattr(network, name) for name in fields if name not in ('parent', 'name')}
  outsider = Logits(**options)
  names = [f'layers_{index}' for index in range(len(problem.params) - 1)]

  @jax.jit
  def both(variables, x):
    staged = invert(network.stages(variables, train=True), x)
    found = invert_module(outsider, variables, x, names, mutable=['batch_stats'])
    return staged, found

  staged, found = both(variables, x)
  for a, b in zip(found.activations, staged.activations, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
  for a, b in zip(found.reconstructions, staged.reconstructions, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12)
  updated = found.auxiliary[0]['batch_stats']
  assert set(updated) == set(variables['batch_stats'])


def test_branches(branched):
  """Against the Jacobian by an addition to the value, taken forward, one call at a time."""
  module, variables, x = branched
  widths = {'shared:0': 3, 'branch': 3, 'shared:1': 3, 'inner': 4, 'inner/dense': 4}
  found = jax.jit(lambda x: invert_module(module, variables, x, [*widths]))(x)
  p = variables['params']
  dense = lambda name, z: z @ p[name]['kernel'] + p[name]['bias'][None]

  def by_hand(x, added):
    y = jnp.tanh(dense('shared', x) + added['shared:0'])
    y = y + dense('branch', jnp.sin(x)) + added['branch']
    y = jnp.tanh(dense('shared', y) + added['shared:1'])
    inner = p['inner']['dense']
    y = y @ inner['kernel'] + inner['bias'][None] + added['inner/dense']
    return dense('head', jnp.tanh(y) + added['inner'])

  problems.assert_inverted(found, by_hand, x, widths)


def test_arguments_and_gradients(branched):
  module, variables, x = branched

  def loss(variables, scale):
    inversion = invert_module(module, variables, x, ['branch', 'inner'], scale=scale)
    return jnp.sum(losses.multiscale_reconstruction(inversion))

  gradient = jax.jit(jax.grad(loss))(variables, 0.5)
  random, step = np.random.RandomState(1), 1e-6
  direction = jax.tree.map(lambda leaf: random.standard_normal(leaf.shape), variables)
  moved = lambda s: jax.tree.map(lambda p, d: p + s * step * d, variables, direction)
  jitted = jax.jit(loss)
  expected = (jitted(moved(1), 0.5) - jitted(moved(-1), 0.5)) / (2 * step)
  found = sum(jax.tree.leaves(jax.tree.map(lambda g, d: np.sum(g * d), gradient, direction)))
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  assert jitted(variables, 0.5) != jitted(variables, 1.0)


@pytest.mark.parametrize('lift', [nn.remat, nn.jit])
def test_what_is_transformed_cannot_be_named(float64, lift):
  """Its values are those of an inner trace; the rest of the module is as it was."""

  class Lifted(nn.Module):
    inner: type = Inner

    @nn.compact
    def __call__(self, x):
      y = nn.Dense(3, name='first')(x)
      return nn.Dense(2, name='head')(self.inner(name='inner')(y))

  random = np.random.RandomState(0)
  x = jnp.asarray(random.standard_normal((2, 3)))
  variables = Lifted().init(jax.random.key(0), x)
  expected = invert_module(Lifted(), variables, x, ['first'])
  lifted = Lifted(lift(Inner))
  found = invert_module(lifted, variables, x, ['first'])
  for ours, plain in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(ours, plain, rtol=1e-12)
  for name in ('inner', 'inner/dense', 'inner:0'):
    with pytest.raises(UserError, match=f"'{name}' is called once, outside .*: first, head$"):
      invert_module(lifted, variables, x, [name])


@pytest.mark.parametrize('name', ['nothing', 'shared', 'shared:2', 'branch:1', ''])
def test_a_name_that_does_not_occur(branched, name):
  module, variables, x = branched
  with pytest.raises(UserError) as info:
    invert_module(module, variables, x, ['branch', name])
  message = str(info.value)
  assert repr(name) in message
  assert all(known in message for known in ('branch', 'shared:0', 'shared:1', 'inner/dense'))


def test_one_backward_pass(branched):
  """As many products as a forward and a backward pass have, however many values are named."""
  module, variables, x = branched

  def products(names):
    jaxpr = jax.make_jaxpr(lambda x: invert_module(module, variables, x, names).reconstructions)(x)
    return str(jaxpr).count('dot_general')

  assert products(['inner', 'branch', 'shared:1', 'shared:0']) == products(['inner'])


def test_arguments_of_the_wrong_kind(branched):
  module, variables, x = branched
  with pytest.raises(TypeError, match="names: the string 'branch'; allowed: a sequence of names"):
    invert_module(module, variables, x, 'branch')
  with pytest.raises(TypeError, match='x is an array of int32; allowed: a floating-point array'):
    invert_module(module, variables, jnp.ones((2, 3), jnp.int32), ['branch'])
  listed = invert_module(module, variables, x.tolist(), ['branch'], mutable='batch_stats')
  found = invert_module(module, variables, x, ['branch'], mutable=['batch_stats'])
  for ours, theirs in zip(jax.tree.leaves(listed), jax.tree.leaves(found), strict=True):
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
