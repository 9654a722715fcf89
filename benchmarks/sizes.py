"""How large networks are: what the time and the memory of a training step are proportional to.

    python -m benchmarks.sizes --out=results/benchmark_sizes.json

For networks of several depths, widths and sizes of images of 3 channels: the parameters; the
multiplications of a forward pass of one image, in convolutions and matrix products; and the values
that these return. All are counted in the traced forward pass; nothing is compiled.
"""

import argparse
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn

from benchmarks import timing
from multiscale_inversion import networks
from multiscale_inversion.nn.convolution import implemented_by

# Name of a table's row: network, its options, edge of the images.
SETTINGS = {
    'Large CNN': ('large_cnn', {}, 32),
    'Resnet3-64': ('resnet', {'blocks_per_group': 3, 'width': 64}, 32),
    'Resnet1-16': ('resnet', {'blocks_per_group': 1, 'width': 16}, 32),
    'Resnet2-16': ('resnet', {'blocks_per_group': 2, 'width': 16}, 32),
    'Resnet4-16': ('resnet', {'blocks_per_group': 4, 'width': 16}, 32),
    'Resnet2-32': ('resnet', {'blocks_per_group': 2, 'width': 32}, 32),
    'Resnet2-64': ('resnet', {'blocks_per_group': 2, 'width': 64}, 32),
    'Resnet2-16, 64x64': ('resnet', {'blocks_per_group': 2, 'width': 16}, 64),
    'ViT': ('vit', {}, 32),
    'ViT, width 128': ('vit', {'width': 128}, 32),
    'ViT, depth 6': ('vit', {'depth': 6}, 32),
}


def sizes(name: str, options: dict, edge: int) -> dict[str, int]:
  """Return `parameters`, and for one image `multiplications` and `values`."""
  network = networks.create(name, num_classes=10, **options)
  image = jax.ShapeDtypeStruct((1, edge, edge, 3), jnp.float32)
  key = jax.eval_shape(lambda: jax.random.key(0))
  with implemented_by('lax'):
    variables = jax.eval_shape(network.init, key, image)
    forward = jax.make_jaxpr(network.apply)(variables, image)
  products = [
      equation
      for equation in _equations(forward.jaxpr)
      if equation.primitive.name in ('conv_general_dilated', 'dot_general')
  ]
  return {
      'parameters': sum(leaf.size for leaf in jax.tree.leaves(variables['params'])),
      'multiplications': sum(map(_multiplications, products)),
      'values': sum(equation.outvars[0].aval.size for equation in products),
  }


def _equations(jaxpr: Jaxpr) -> Iterator[JaxprEqn]:
  for equation in jaxpr.eqns:
    yield equation
    for parameter in equation.params.values():
      inner = getattr(parameter, 'jaxpr', parameter)
      if isinstance(inner, Jaxpr):
        yield from _equations(inner)


def _multiplications(equation: JaxprEqn) -> int:
  left, right = (variable.aval.shape for variable in equation.invars)
  output = equation.outvars[0].aval
  if equation.primitive.name == 'dot_general':
    (contracted, _), _ = equation.params['dimension_numbers']
    return output.size * math.prod(left[axis] for axis in contracted)
  return output.size * math.prod(right[:-1])  # kernels are [height, width, C, F]


def main() -> None:
  """Run the benchmark."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--out')
  arguments = parser.parse_args()
  measured = {name: sizes(*setting) for name, setting in SETTINGS.items()}
  timing.publish('sizes', measured, arguments.out)


if __name__ == '__main__':
  main()
