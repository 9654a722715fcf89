"""Single 3x3 convolutions, forward and the filters' gradient, by several ways.

    python -m benchmarks.winograd --out=results/benchmark_winograd.json

Effective GFLOP/s: operations of the definition by time. `at_once` is Winograd's way with all images
at a time; `shifted` nine products of shifted images, one for each weight of the filters.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from multiscale_inversion.nn import convolution, winograd

BATCH = 50
SHAPES = ((34, 96, 96), (16, 192, 192), (32, 64, 64), (16, 128, 128), (8, 256, 256))
MARGINS = ((1, 1), (1, 1))


def _shifted(x, g):
  height, width = g.shape[1:3]
  x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  cotangents = g.reshape(-1, g.shape[-1])
  parts = [
      x[:, i : i + height, j : j + width].reshape(-1, x.shape[-1]).T @ cotangents
      for i in range(3)
      for j in range(3)
  ]
  return jnp.stack(parts).reshape(3, 3, *parts[0].shape)


def _forward(implementation):
  return lambda x, k, g: convolution.convolve(x, k, 'same', implementation)


def _gradient(implementation):
  def gradient(x, k, g):
    return jax.vjp(lambda k: convolution.convolve(x, k, 'same', implementation), k)[1](g)

  return gradient


def _torch(x, k, g):
  import torch  # noqa: PLC0415

  x, g = (torch.tensor(np.moveaxis(np.asarray(a), -1, 1).copy()) for a in (x, g))
  k = torch.tensor(np.transpose(np.asarray(k), (3, 2, 0, 1)).copy())
  return {
      'forward, PyTorch': lambda: torch.nn.functional.conv2d(x, k, padding=1),
      'gradient, PyTorch': lambda: torch.nn.grad.conv2d_weight(x, k.shape, g, padding=1),
  }


def measure(edge, channels, features, rounds):
  """Measure all implementations for one shape."""
  random = np.random.RandomState(0)
  x, k, g = (
      jnp.asarray(random.standard_normal(shape), jnp.float32)
      for shape in (
          (BATCH, edge, edge, channels),
          (3, 3, channels, features),
          (BATCH, edge, edge, features),
      )
  )
  ways = {
      f'{what}, {name}': jax.jit(make(name)).lower(x, k, g).compile()
      for what, make in (('forward', _forward), ('gradient', _gradient))
      for name in ('lax', 'im2col', 'winograd')
  }
  ways['gradient, shifted'] = jax.jit(lambda x, k, g: _shifted(x, g)).lower(x, k, g).compile()
  few, winograd._CHUNK_BYTES = winograd._CHUNK_BYTES, 2.0**62
  jax.clear_caches()
  ways['forward, at_once'] = jax.jit(_forward('winograd')).lower(x, k, g).compile()
  ways['gradient, at_once'] = jax.jit(_gradient('winograd')).lower(x, k, g).compile()
  winograd._CHUNK_BYTES = few
  jax.clear_caches()
  runs = {
      name: lambda way=way: jax.block_until_ready(way(x, k, g)) for name, way in ways.items()
  } | _torch(x, k, g)
  times = timing.interleave(runs, rounds)
  operations = 2 * 9 * BATCH * edge**2 * channels * features
  rates = {name: operations / 1e9 / times[name]['median_s'] for name in times}
  return {'times': times, 'gflop_per_s': rates}


def main():
  """Run the benchmark."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--out')
  arguments = parser.parse_args()
  measured = {
      f'{edge}x{edge}, {channels}': measure(edge, channels, features, arguments.rounds)
      for edge, channels, features in SHAPES
  }
  timing.publish('winograd', measured, arguments.out, packages=('torch',))


if __name__ == '__main__':
  main()
