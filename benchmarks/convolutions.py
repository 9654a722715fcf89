"""The multiscale training step with each implementation of convolution, and in PyTorch.

    python -m benchmarks.convolutions --out=results/benchmark_convolutions.json

Large CNN and Resnet3-64, a batch of 50 images of 32x32x3. `lax` is what `flax.linen.Conv` calls.
On CPU it takes many seconds a step: `--implementations` leaves contestants out. PyTorch's threads
sleep when they wait (OMP_WAIT_POLICY=PASSIVE), or they would take cores from the next contestant.
"""

import argparse
import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import timing
from multiscale_inversion import networks, objectives, precision, training
from multiscale_inversion.nn import convolution

NETWORKS = {
    'large_cnn': ('large_cnn', {}),
    'resnet3_64': ('resnet', {'blocks_per_group': 3, 'width': 64}),
}


def make_batch(size: int, seed: int = 0) -> training.Batch:
  """Return a batch of random images, half of them labeled."""
  random = np.random.RandomState(seed)
  mask = (np.arange(size) < size // 2).astype(np.float32)
  labels = np.where(mask > 0, random.randint(10, size=size), -1).astype(np.int32)
  images = random.standard_normal((size, 32, 32, 3)).astype(np.float32)
  return jax.tree.map(jnp.asarray, training.Batch(images, labels, mask))


def make_training(network: str, options, objective: str, precision_name='float32', **more):
  """Return a training step, with `more` of its options, and a state for images of `make_batch`."""
  matmul, dtype = precision.get(precision_name)
  module = networks.create(network, num_classes=10, dtype=dtype, **options)
  training_step = training.TrainingStep(
      module, objectives.create(objective), optax.adam(0.002), matmul_precision=matmul, **more
  )
  key = jax.random.key(0)
  return training_step, training.create_state(module, training_step.optimizer, key, (32, 32, 3))


def jax_step(network: str, objective: str, batch: training.Batch, implementation=None):
  """Return a function that does a compiled step, with one implementation for all 3x3 kernels."""
  with forced(implementation):
    training_step, state = make_training(*NETWORKS[network], objective)
    step = jax.jit(training_step).lower(state, batch, jax.random.key(1)).compile()
  held = [state]

  def run():
    held[0], _ = jax.block_until_ready(step(held[0], batch, jax.random.key(1)))

  return run


class forced:  # noqa: N801
  """Makes one implementation every convolution's that it can serve, while tracing."""

  def __init__(self, implementation):
    self._implementation = implementation
    self._default = convolution.default_implementation

  def __enter__(self):
    if self._implementation is not None:
      convolution.default_implementation = self._choose

  def __exit__(self, *unused):
    convolution.default_implementation = self._default

  def _choose(self, x, kernel):
    if self._implementation == 'winograd' and kernel.shape[:2] != (3, 3):
      return 'im2col'
    return self._implementation


def torch_step(network: str, objective: str, batch: training.Batch):
  """Return the same step in PyTorch."""
  from benchmarks import torch_step as peer  # noqa: PLC0415 (only where it is a contestant)

  return functools.partial(peer.make_step(torch_layers(network), objective), *torch_inputs(batch))


def torch_layers(network: str):
  """Return the network in PyTorch."""
  import torch  # noqa: PLC0415

  from benchmarks import torch_step as peer  # noqa: PLC0415

  _, options = NETWORKS[network]
  torch.manual_seed(0)
  make = {'large_cnn': peer.large_cnn_layers, 'resnet3_64': peer.resnet_layers}[network]
  return make(3, 10, **options)


def torch_inputs(batch: training.Batch):
  """Images, labels and mask for PyTorch."""
  import torch  # noqa: PLC0415

  images = torch.tensor(np.moveaxis(np.asarray(batch.images), -1, 1).copy())
  labels = torch.tensor(np.maximum(np.asarray(batch.labels), 0)).long()
  return images, labels, torch.tensor(np.asarray(batch.mask))


def main():
  """Run the benchmark."""
  os.environ['OMP_WAIT_POLICY'] = 'PASSIVE'  # read when PyTorch is imported
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--networks', nargs='+', default=list(NETWORKS), choices=list(NETWORKS))
  parser.add_argument('--implementations', nargs='*', default=['default', 'im2col', 'lax'])
  parser.add_argument('--rounds', type=int, default=5)
  parser.add_argument('--batch_size', type=int, default=50)
  parser.add_argument('--no-torch', action='store_true')
  parser.add_argument('--out')
  arguments = parser.parse_args()

  batch = make_batch(arguments.batch_size)
  measured = {}
  for network in arguments.networks:
    contestants = {
        name: jax_step(network, 'multiscale', batch, None if name == 'default' else name)
        for name in arguments.implementations
    }
    if not arguments.no_torch:
      contestants['torch'] = torch_step(network, 'multiscale', batch)
    times = timing.interleave(contestants, arguments.rounds)
    others = [name for name in times if name != 'default']
    measured[network] = {
        'times': times,
        'default_over': {name: timing.ratio(times, 'default', name) for name in others},
    }
  timing.publish('convolutions', measured, arguments.out, packages=('torch',))


if __name__ == '__main__':
  main()
