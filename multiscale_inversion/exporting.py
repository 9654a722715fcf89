"""Export a trained network as a program that JAX alone runs, on CPU, GPU and TPU."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export

from multiscale_inversion.data.normalization import normalize
from multiscale_inversion.errors import UserError, one_line
from multiscale_inversion.nn.convolution import implemented_by
from multiscale_inversion.trained import TrainedNetwork

PLATFORMS = ('cpu', 'cuda', 'tpu')


def export(network: TrainedNetwork, platforms: Sequence[str] = PLATFORMS) -> bytes:
  """Return a network's probabilities as a serialized program, its variables inside.

  The program takes float32 observations of shape [N, ...], any N, and returns float32, shape
  [N, number of classes], as `TrainedNetwork.predict_proba` does. It is read by JAX alone (with the
  package flatbuffers):

      program = jax.export.deserialize(bytearray(content))
      probabilities = program.call(observations)

  Convolutions are XLA's own on every platform: the main gain of the library's is in gradients.

  Args:
    network: the network.
    platforms: those that the program runs on, of `PLATFORMS`.

  Raises:
    UserError: if the network cannot be compiled for every N.
  """
  shape = jax_export.symbolic_shape(', '.join(['n', *map(str, network.image_shape)]))
  try:
    exported = jax_export.export(jax.jit(probabilities(network)), platforms=platforms)(
        jax.ShapeDtypeStruct(shape, jnp.float32)
    )
  except Exception as error:  # a custom network may ask for the number of observations
    raise UserError(
        f'a network that cannot be exported for any number of observations ({one_line(error)})'
    ) from error
  return bytes(exported.serialize())


def probabilities(network: TrainedNetwork) -> Callable[[jax.Array], jax.Array]:
  """Return the function that `export` compiles, for converters to other formats.

  Args:
    network: the network, whose variables become constants.
  """

  def run(x: jax.Array) -> jax.Array:
    with jax.default_matmul_precision(network.matmul_precision), implemented_by('lax'):
      activations: Any = network.network.apply(network.variables, normalize(x))
      return jax.nn.softmax(activations[-1])

  return run
