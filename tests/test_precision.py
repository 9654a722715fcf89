"""What is computed in which type, and how precisely."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from multiscale_inversion import invert, networks, objectives, precision, training
from multiscale_inversion.errors import UserError

LABELS = np.array([3, 0, 1, -1, -1, -1], np.int32)
NETWORKS = {'resnet': {'blocks_per_group': 1, 'width': 4}, 'large_cnn': {'width': 4}}


pytestmark = pytest.mark.usefixtures('little_optimization')


def make(name, network='resnet'):
  matmul, dtype = precision.get(name)
  network = networks.create(network, 5, dtype=dtype, dropout_rate=0.0, **NETWORKS[network])
  training_step = training.TrainingStep(
    network, objectives.create('multiscale'), optax.adam(0.002), matmul_precision=matmul
  )
  state = training.create_state(network, training_step.optimizer, jax.random.key(0), (12, 12, 3))
  images = jax.random.normal(jax.random.key(1), (6, 12, 12, 3))
  batch = training.Batch(images, jnp.asarray(LABELS), jnp.asarray(LABELS >= 0, jnp.float32))
  return training_step, state, batch


def equations(jaxpr):
  for equation in jaxpr.eqns:
    yield equation
    for value in equation.params.values():
      for parameter in jax.tree.leaves(value):
        inner = getattr(parameter, 'jaxpr', parameter)
        if hasattr(inner, 'eqns'):
          yield from equations(inner)


def products(name):
  """The products of a training step: their precision and the types of their operands."""
  training_step, state, batch = make(name)
  jaxpr = jax.make_jaxpr(training_step)(state, batch, jax.random.key(2))
  return [
    (e.params['precision'], {str(v.aval.dtype) for v in e.invars}) for e in equations(jaxpr.jaxpr)
    if e.primitive.name in ('dot_general', 'conv_general_dilated')
  ]


HIGHEST, HIGH, DEFAULT = (
  jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGH, jax.lax.Precision.DEFAULT
)


@pytest.mark.parametrize(
  ('name', 'matmul', 'dtype'),
  [
    ('float32', HIGHEST, 'float32'), ('tf32', HIGH, 'float32'), ('bfloat16', DEFAULT, 'bfloat16')
  ],
)
def test_every_product_of_a_step(name, matmul, dtype):
  found = products(name)
  # Forward, backward twice, and what the weights need of both: six products a convolution and more.
  assert len(found) > 6 * 4
  for of_product, types in found:
    assert set(np.ravel(of_product)) == {matmul}
    assert types == {dtype}


@pytest.mark.parametrize('network', NETWORKS)
def test_bfloat16_keeps_statistics_losses_and_weights_in_float32(network):
  training_step, state, batch = make('bfloat16', network)
  after, measured = jax.jit(training_step)(state, batch, jax.random.key(2))
  for leaf in jax.tree.leaves((after.params, after.batch_stats, measured)):
    assert leaf.dtype == jnp.float32
  stages = training_step.network.stages(state.variables(), train=True)
  inversion = jax.eval_shape(lambda x: invert(stages, x), batch.images)
  types = [z.dtype for z in inversion.activations]
  assert types == [jnp.float32, *[jnp.bfloat16] * (len(types) - 2), jnp.float32]
  assert [r.dtype for r in inversion.reconstructions] == types[:-1]
  loss = jax.eval_shape(training_step.objective, inversion, batch.labels, batch.mask)
  assert loss.dtype == jnp.float32


def test_bfloat16_is_close_to_float32():
  steps = {}
  for name in ('float32', 'bfloat16'):
    training_step, state, batch = make(name)
    _, measured = jax.jit(training_step)(state, batch, jax.random.key(2))
    steps[name] = {key: mean.value() for key, mean in measured.items()}
  assert steps['bfloat16'] == pytest.approx(steps['float32'], rel=0.03)
  assert steps['bfloat16'] != pytest.approx(steps['float32'], rel=1e-5)


def test_unknown_precision():
  with pytest.raises(UserError, match=r'precision: .*float32, tf32, bfloat16'):
    precision.get('float16')
