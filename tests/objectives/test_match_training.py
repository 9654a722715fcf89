"""Training steps of the methods with a memory: several seeds in a program, each as if alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from multiscale_inversion import execution, networks, objectives, training
from multiscale_inversion.objectives.baselines.averaged_weights import with_averaged_weights

pytestmark = pytest.mark.usefixtures('little_optimization')

N, SIDE, C = 12, 3, 4
LABELS = np.array([0, 1, 2, 3, 0, 1] + [-1] * 6)
SHAPE = (SIDE, SIDE, 1)


def batch_of(step):
  images = np.random.RandomState(step).standard_normal((N, *SHAPE)).astype(np.float32)
  labels = jnp.asarray(LABELS)
  mask = (labels >= 0).astype(jnp.float32)
  return training.Batch(jnp.asarray(images), labels, mask, jnp.roll(jnp.arange(N), 6 * step))


def make_step(name, options):
  network = networks.create('mlp', C, depth=1, width=5, dropout_rate=0.3)
  noise = lambda scale: lambda key, x: x + scale * jax.random.normal(key, x.shape)
  return training.TrainingStep(
    network, with_averaged_weights(objectives.create(name, **options), 0.5), optax.sgd(0.3),
    num_steps=4, weak=noise(0.1), strong=noise(0.5),
  )


@pytest.mark.parametrize('mode', execution.MODES)
@pytest.mark.parametrize(('name', 'options'), [
  ('flexmatch', {'threshold': 0.4}),
  ('freematch+multiscale', {'decay': 0.5}),
  ('softmatch', {'decay': 0.5}),
  ('mixmatch', {}),
])
def test_each_seed_has_its_own_memory(name, options, mode):
  training_step = make_step(name, options)
  keys = jax.random.split(jax.random.key(5), 2)

  step = lambda state, key, batch: training_step(state, batch, key)[0]
  initial = lambda seed: training.create_state(
    training_step.network, training_step.optimizer, jax.random.key(seed), SHAPE,
    training_step.objective, N, 6,
  )
  both_seeds = execution.Execution(seeds=(0, 1), mode=mode)
  together, alone = both_seeds.compile(step, num_own=2), jax.jit(step)
  both, states = both_seeds.for_each_seed(initial), [initial(0), initial(1)]
  for number in range(3):
    batch = batch_of(number)
    both = together(both, keys, batch)
    states = [alone(state, key, batch) for state, key in zip(states, keys)]
  for own, state in zip(both_seeds.fetch(both), states, strict=True):
    assert jax.tree.leaves(own.memory)
    for a, b in zip(*map(jax.tree.leaves, (own, state)), strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
  # The memories differ between seeds, and from what they were.
  flat = lambda memory: np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(memory)])
  assert not np.allclose(*(flat(state.memory) for state in states))
  for seed in (0, 1):
    assert not np.allclose(flat(states[seed].memory), flat(initial(seed).memory))
