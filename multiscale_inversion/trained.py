"""Load a trained network from the folder of its run."""

import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from multiscale_inversion import networks, precision
from multiscale_inversion.checkpoints import Checkpoints
from multiscale_inversion.data.normalization import normalize
from multiscale_inversion.errors import UserError, WrongType, named_as_keys
from multiscale_inversion.inversion.stages import Inversion
from multiscale_inversion.networks.base import Network
from multiscale_inversion.runs.folder import RunFolder

_AT_ONCE = 200


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
  """A trained network in evaluation mode: no dropout, running statistics in batch norm.

  Images are given as the data set stores them, uint8 or any real numbers, and are normalized as in
  training.

  Attributes:
    network: a Flax module that returns every activation.
    variables: `params` and `batch_stats`, as `network.apply` and `network.invert` take them.
    class_names: a name for each class.
    image_shape: (H, W, C) of the images.
    step: number of training steps done.
    matmul_precision: precision of matrix products and convolutions, as in training.
  """

  network: Network
  variables: Mapping[str, Any]
  class_names: tuple[str, ...]
  image_shape: tuple[int, int, int]
  step: int
  matmul_precision: str = 'highest'

  def predict(self, images: np.ndarray) -> np.ndarray:
    """Return the probabilities of the classes.

    Args:
      images: shape [N, H, W, C]; N may be large.

    Returns:
      float32, shape [N, number of classes].

    Raises:
      UserError: if the images have another shape.
      WrongType: if they are not real numbers.
    """
    images = self._checked(images)
    parts = [
        self._probabilities(self.variables, images[start : start + _AT_ONCE])
        for start in range(0, len(images), _AT_ONCE)
    ]
    return np.concatenate([np.zeros([0, len(self.class_names)], np.float32), *parts])

  def activations(self, images: np.ndarray) -> tuple[jax.Array, ...]:
    """Return (z^(0), ..., z^(L)): the normalized images and each layer's output, logits last.

    Args:
      images: shape [N, H, W, C], processed in one batch.

    Raises:
      UserError: if the images have another shape.
      WrongType: if they are not real numbers.
    """
    return self._activations(self.variables, self._checked(images))

  def invert(self, images: np.ndarray) -> Inversion:
    """Return the activations and their reconstructions; r^(0) has the normalized images' range.

    Args:
      images: shape [N, H, W, C], processed in one batch.

    Raises:
      UserError: if the images have another shape.
      WrongType: if they are not real numbers.
    """
    return self._inversion(self.variables, self._checked(images))

  def _checked(self, images: Any) -> np.ndarray:
    try:
      images = np.asarray(images)
    except (TypeError, ValueError) as error:  # rows of different lengths
      raise UserError(f'images: a {type(images).__name__} that makes no array') from error
    if images.ndim != 4 or images.shape[1:] != self.image_shape:
      height, width, channels = self.image_shape
      raise UserError(
          f'images: of shape {images.shape}; allowed: (N, {height}, {width}, {channels})'
      )
    if not any(jnp.issubdtype(images.dtype, kind) for kind in (jnp.integer, jnp.floating)):
      raise WrongType(f'images: an array of {images.dtype}; allowed: real numbers, such as uint8')
    return images

  @functools.cached_property
  def _probabilities(self):
    def probabilities(variables, x):
      activations: Any = self.network.apply(variables, x)
      return jax.nn.softmax(activations[-1])

    return self._compile(probabilities)

  @functools.cached_property
  def _activations(self):
    return self._compile(self.network.apply)

  @functools.cached_property
  def _inversion(self):
    return self._compile(self.network.invert)

  def _compile(self, function):
    """Compile a function of variables and normalized images; the result normalizes its images."""

    def run(variables, images):
      with jax.default_matmul_precision(self.matmul_precision):
        return function(variables, normalize(images))

    return jax.jit(run)


def load(directory: str, seed: int | None = None) -> Trained:
  """Load the network of a run from the latest checkpoint in its folder.

  It is the network that the run evaluates: if the objective averages parameters, the averaged ones
  with their batch statistics. The run may be unfinished, and may have trained on any number of
  other devices. Neither the optimizer's state nor a data set is read.

  Args:
    directory: the run's folder.
    seed: the seed whose network is loaded, in a run of several seeds; the first seed if None.

  Raises:
    UserError: if the folder holds no run with a sound checkpoint, or none of this seed.

  Warns:
    DamagedCheckpointWarning: if the latest checkpoint is damaged and an older one is used.
  """
  folder = RunFolder(os.path.expanduser(directory))
  config, about = folder.config(), folder.data()
  checkpoint = Checkpoints(folder.checkpoints).restore_variables()
  if checkpoint is None:
    raise UserError(
        f'{folder.checkpoints}: no checkpoint yet; the run must have been interrupted or finished'
    )
  folder.check_digests(checkpoint.notes.get('files'))
  class_names, image_shape = tuple(about['class_names']), tuple(about['image_shape'])
  try:
    options: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in config['network'].items()
        if value is not None
    }
    matmul_precision, dtype = precision.get(config['precision'])
    with named_as_keys('network', dtype='precision'):
      network = networks.create(num_classes=len(class_names), dtype=dtype, **options)
  except (KeyError, TypeError, AttributeError) as error:
    raise UserError(f'{folder.config_file}: not of a run ({error!r})') from error
  variables = checkpoint.tree
  variables = {'params': variables['params'], 'batch_stats': variables.get('batch_stats') or {}}
  variables = _of_seed(variables, config['seed'], config['num_seeds'], seed, directory)
  variables = jax.tree.map(jnp.asarray, variables)
  if not checkpoint.notes.get('files'):  # Early versions kept no digests, so check the shapes.
    _check_fit(network, variables, image_shape, folder)
  return Trained(network, variables, class_names, image_shape, checkpoint.step, matmul_precision)


def _check_fit(
    network: Network, variables: Any, image_shape: tuple[int, ...], folder: RunFolder
) -> None:
  """Raise a `UserError` unless the variables fit the network."""
  images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
  try:
    jax.eval_shape(network.apply, variables, images)
  except Exception as error:  # Flax, JAX and layers raise errors of many types
    raise UserError(
        f'{folder.checkpoints}: not of the network in {os.path.basename(folder.config_file)}; '
        'allowed: the folder as it was saved'
    ) from error


def _of_seed(variables: Any, first: int, count: int, seed: int | None, directory: str) -> Any:
  """Return the variables of one seed of a run, the first if `seed` is None."""
  last = first + count - 1
  seed = first if seed is None else seed
  if not first <= seed <= last:
    allowed = str(first) if count == 1 else f'{first} to {last}'
    raise UserError(f'seed: {seed} is none of {directory}; allowed: {allowed}')
  if count == 1:
    return variables
  return jax.tree.map(lambda leaf: leaf[seed - first], variables)
