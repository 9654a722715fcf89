"""Small networks with random variables and batches, in NumPy's float64, for comparisons."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from multiscale_inversion import invert, networks
from multiscale_inversion.networks.mlp import MLP

# name: (network's name, options, edge of the images)
CASES = {
    'large_cnn': ('large_cnn', {'width': 4}, 12),
    'large_cnn_sigmoid': ('large_cnn', {'width': 3, 'activation': 'sigmoid'}, 12),
    'resnet': ('resnet', {'blocks_per_group': 1, 'width': 3}, 8),
    'resnet_deep': ('resnet', {'blocks_per_group': 2, 'width': 2, 'activation': 'sigmoid'}, 9),
    'resnet_max': ('resnet', {'blocks_per_group': 1, 'width': 3, 'pooling': 'max'}, 8),
}
# The paper's own width, whose convolutions are Winograd's on a CPU: minutes of compilation.
FULL_CASES = {'large_cnn_full': ('large_cnn', {}, 12)}
CLASSES = 4


class UnstagedMLP(networks.UnstagedNetwork, MLP):
  """A network in layers as if it were not."""

  @property
  def inverted(self):
    return [f'layers_{index}' for index in range(self.depth)]

  def logits(self, x, train, inverse):
    for layer in self.layers:
      x = layer(x, train=train, inverse=inverse)
    return x


class Problem(NamedTuple):
  """A network without dropout, its variables, and a batch."""

  network: networks.LayeredNetwork
  params: dict
  batch_stats: dict
  x: np.ndarray
  labels: np.ndarray
  mask: np.ndarray

  def variables(self, params=None):
    return {'params': self.params if params is None else params, 'batch_stats': self.batch_stats}

  def inversion(self, params=None, train=True):
    def run(variables, x):
      return invert(self.network.stages(variables, train=train), x)

    return jax.jit(run)(self.variables(params), jnp.asarray(self.x))


def make(case: str, mode: str = 'frozen', batch: int = 3, seed: int = 0) -> Problem:
  """Makes a problem; no scale, bias or running statistic has a trivial value."""
  name, options, edge = {**CASES, **FULL_CASES}[case]
  network = networks.create(
      name, num_classes=CLASSES, dropout_rate=0.0, batch_norm_inverse=mode, **options
  )
  random = np.random.RandomState(seed)
  x = random.standard_normal((batch, edge, edge, 2))
  shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.asarray(x))

  def draw(path, leaf):
    kind = path[-1].key
    if kind == 'kernel':
      return random.standard_normal(leaf.shape) / np.sqrt(np.prod(leaf.shape[:-1]))
    if kind in ('scale', 'var'):
      return random.uniform(0.5, 1.5, leaf.shape)
    return 0.3 * random.standard_normal(leaf.shape)

  variables = jax.tree_util.tree_map_with_path(draw, shapes)
  labels = random.randint(CLASSES, size=batch)
  mask = (np.arange(batch) % 2 == 0).astype(np.float64)
  labels = np.where(mask > 0, labels, -1)
  return Problem(network, variables['params'], variables['batch_stats'], x, labels, mask)


def assert_inverted(inversion, by_hand, x, widths):
  """Compares with Jacobians by additions to the values, taken forward, one value at a time.

  Args:
    inversion: of x, the values of `widths` in their order, and the output; each but x [N, width].
    by_hand: (x, additions by name) -> output, the network written again.
    x: shape [N, D].
    widths: of the values, by name.
  """
  zeros = {name: jnp.zeros((len(x), width)) for name, width in widths.items()}
  z = by_hand(x, zeros)
  np.testing.assert_allclose(inversion.activations[-1], z, rtol=1e-12)
  jacobians = jax.jacfwd(by_hand, (0, 1))(x, zeros)
  expected = [jacobians[0], *(jacobians[1][name] for name in widths)]
  for r, jacobian in zip(inversion.reconstructions, expected, strict=True):
    np.testing.assert_allclose(r, jnp.einsum('nc,ncmd->md', z, jacobian), rtol=1e-10, atol=1e-12)
