"""A trained network: predict, look inside, invert, evaluate, save and load."""

import dataclasses
import functools
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from multiscale_inversion import networks, precision, quality
from multiscale_inversion.data.normalization import normalize
from multiscale_inversion.data.sources import image_list, images, labeled_images
from multiscale_inversion.errors import UserError, WrongType, named_as_keys
from multiscale_inversion.inversion.stages import Inversion
from multiscale_inversion.networks.base import Network

_AT_ONCE = 256  # observations, a power of two

# What a network is given: an array of observations, or image files and folders.
Observations = np.ndarray | image_list.Path | Iterable[image_list.Path]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TrainedNetwork:
  """A trained network in evaluation mode: no dropout, running statistics in batch norm.

  Observations are given as for training, uint8 or any real numbers; images are normalized as in
  training. In place of an array of images, the methods take the path of an image, of a folder, or
  several paths; each file is read as those of the data set `folder`.

  Attributes:
    network: a Flax module that returns every activation.
    variables: `params` and `batch_stats`, as `network.apply` and `network.invert` take them.
    class_names: a name for each class.
    image_shape: shape of an observation: (H, W, C), (time, features) or (features,).
    step: number of training steps done.
    matmul_precision: precision of matrix products and convolutions, as in training.
    options: the configuration's `network` and `precision`, from which `network` was made; None if
      it was made otherwise, and then it cannot be saved.
  """

  network: Network
  variables: Mapping[str, Any]
  class_names: tuple[str, ...]
  image_shape: tuple[int, ...]
  step: int
  matmul_precision: str = 'highest'
  options: Mapping[str, Any] | None = None

  def __repr__(self) -> str:
    """Return one line."""
    name = self.options['network']['name'] if self.options else type(self.network).__name__
    count = sum(np.size(leaf) for leaf in jax.tree.leaves(self.variables['params']))
    shape = 'x'.join(map(str, self.image_shape))
    return (
        f'TrainedNetwork({name}, {count:,} parameters, observations of {shape}, '
        f'{len(self.class_names)} classes, step {self.step})'
    )

  def __getstate__(self) -> dict[str, Any]:
    """Return the attributes, with arrays on the host and without compiled functions."""
    kept = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
    return kept | {'variables': jax.device_get(self.variables)}

  def predict(self, observations: Observations) -> np.ndarray:
    """Return the most probable class of each observation, as its position in `class_names`.

    Args:
      observations: shape [N, ...], or image files; N may be large.

    Returns:
      int64, shape [N].

    Raises:
      UserError: if the observations have another shape, or a file cannot be read.
      WrongType: if they are not real numbers.
    """
    return self.predict_proba(observations).argmax(-1)

  def predict_proba(self, observations: Observations) -> np.ndarray:
    """Return the probabilities of the classes.

    Args:
      observations: shape [N, ...], or image files; N may be large.

    Returns:
      float32, shape [N, number of classes].

    Raises:
      UserError: if the observations have another shape, or a file cannot be read.
      WrongType: if they are not real numbers.
    """
    return self._in_parts(self._probabilities, observations)

  def activations(self, observations: Observations) -> tuple[np.ndarray, ...]:
    """Return (z^(0), ..., z^(L)): the normalized input and each layer's output, logits last.

    Args:
      observations: shape [N, ...], or image files; all activations must fit in memory.

    Raises:
      UserError: if the observations have another shape, or a file cannot be read.
      WrongType: if they are not real numbers.
    """
    return self._in_parts(self._activations, observations)

  def invert(self, observations: Observations, batch_statistics: bool = False) -> Inversion:
    """Return the activations and their reconstructions; r^(0) has the normalized images' range.

    Args:
      observations: shape [N, ...], or image files; all activations must fit in memory.
      batch_statistics: let batch norm take the statistics of these observations, which are then
        one batch, in place of the running ones. A network that was trained by the recipe
        `few_labels` can reconstruct well in this mode alone, because its inverse was trained
        through the statistics of a batch.

    Returns:
      The `Inversion`, without auxiliary values.

    Raises:
      UserError: if the observations have another shape, or a file cannot be read.
      WrongType: if they are not real numbers.
    """
    if batch_statistics:
      inverted = self._batch_inversion(self.variables, self._checked(observations))
      activations, reconstructions = jax.tree.map(np.asarray, inverted)
    else:
      activations, reconstructions = self._in_parts(self._inversion, observations)
    return Inversion(activations, reconstructions, ())

  def evaluate(
      self, observations: Observations, labels: np.ndarray | None = None
  ) -> quality.Quality:
    """Compare the predictions with true classes; `print` the result for a table.

    Args:
      observations: shape [N, ...], or image files; N at least 1, and it may be large. Without
        `labels`, the path of a folder with a sub-folder for each class, or of a CSV file with the
        columns `file` and `label`; where these have a part for testing, it alone counts.
      labels: positions in `class_names`, shape [N].

    Raises:
      UserError: if the observations have another shape, a file cannot be read, or the labels are
        not as described.
      WrongType: if the observations are not real numbers, or without labels not a path.

    Warns:
      UserWarning: for each image that is skipped, as it cannot be read.
    """
    if labels is None:
      observations, labels = self._read_labeled(observations)
    return quality.measure(self.predict_proba(observations), labels, self.class_names)

  def save(self, path: str | os.PathLike[str]) -> None:
    """Write the network to one file, which `load` reads.

    Args:
      path: the file, replaced if there is one.

    Raises:
      UserError: if the network was not made from options, or the folder cannot be written.
    """
    from multiscale_inversion import network_file  # noqa: PLC0415 (it imports this module)

    network_file.write(self, os.fspath(path))

  def _in_parts(self, function: Callable[..., Any], observations: Observations) -> Any:
    """Apply a compiled function to some observations at a time, and put the results together.

    The last ones are filled up to a power of two, so that there are few programs to compile.
    """
    x = self._checked(observations)
    starts = range(0, max(len(x), 1), _AT_ONCE)
    parts = [self._filled_up(function, x[start : start + _AT_ONCE]) for start in starts]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

  def _filled_up(self, function: Callable[..., Any], x: np.ndarray) -> Any:
    size = 1 << max(len(x) - 1, 0).bit_length()
    filling = np.zeros((size - len(x), *x.shape[1:]), x.dtype)
    found = function(self.variables, np.concatenate([x, filling]))
    return jax.tree.map(lambda leaf: np.asarray(leaf)[: len(x)], found)

  def _checked(self, observations: Any) -> np.ndarray:
    if _are_paths(observations):
      return self._read(observations)
    try:
      x = np.asarray(observations)
    except (TypeError, ValueError) as error:  # rows of different lengths
      raise UserError(f'images: a {type(observations).__name__} that makes no array') from error
    if x.shape[1:] != self.image_shape or not x.ndim:
      allowed = ', '.join(['N', *map(str, self.image_shape)])
      raise UserError(f'images: of shape {x.shape}; allowed: ({allowed})')
    if not any(jnp.issubdtype(x.dtype, kind) for kind in (jnp.integer, jnp.floating)):
      raise WrongType(f'images: an array of {x.dtype}; allowed: real numbers, such as uint8')
    return x

  def _read(self, paths: Any) -> np.ndarray:
    height, width, channels = self.size_of_images()
    found, _, unreadable = images.read_all([*image_list.find(paths)], (height, width), channels)
    if unreadable:
      raise UserError(': '.join(unreadable[0]))
    return found

  def _read_labeled(self, path: Any) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(path, str | os.PathLike):
      raise WrongType(
          f'labels: none beside a {type(path).__name__}; allowed: none beside the path of a folder '
          'or of a CSV file, which name the classes'
      )
    with named_as_keys(data_dir='observations'):
      found, labels, skipped = labeled_images.read(path, self.class_names, self.size_of_images())
    for file, reason in skipped:
      warnings.warn(f'{file}: {reason}', stacklevel=3)
    return found, labels

  def size_of_images(self) -> tuple[int, int, int]:
    """Return (H, W, C) of the images that the network takes.

    Raises:
      UserError: if it takes something else than images.
    """
    shape = self.image_shape
    if len(shape) != 3 or shape[2] not in (1, 3):
      raise UserError(
          f'the network takes observations of shape {shape}; allowed: an array of them, no files'
      )
    return (shape[0], shape[1], shape[2])

  @functools.cached_property
  def _probabilities(self):
    return self._compile(lambda *args: jax.nn.softmax(self._applied(*args)[-1]))

  @functools.cached_property
  def _activations(self):
    return self._compile(self._applied)

  @functools.cached_property
  def _inversion(self):
    return self._compile(lambda *args: self.network.invert(*args)[:2])

  @functools.cached_property
  def _batch_inversion(self):
    network = self.network
    if hasattr(network, 'dropout_rate'):
      network = network.clone(dropout_rate=0.0)
    rngs = {'dropout': jax.random.key(0)}  # for a custom network with another option for dropout
    return self._compile(lambda variables, x: network.invert(variables, x, True, rngs)[:2])

  def _applied(self, variables: Mapping[str, Any], x: jax.Array) -> tuple[jax.Array, ...]:
    activations: Any = self.network.apply(variables, x)
    return activations

  def _compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of variables and normalized images; the result normalizes its images."""

    def run(variables, x):
      with jax.default_matmul_precision(self.matmul_precision):
        return function(variables, normalize(x))

    return jax.jit(run)


def from_options(
    options: Mapping[str, Any],
    variables: Mapping[str, Any],
    class_names: Iterable[str],
    image_shape: Iterable[int],
    step: int,
) -> TrainedNetwork:
  """Make a trained network from recorded options and its variables.

  Args:
    options: the configuration's `network` and `precision`, as read from JSON.
    variables: see `TrainedNetwork`.
    class_names: see `TrainedNetwork`.
    image_shape: see `TrainedNetwork`.
    step: see `TrainedNetwork`.

  Raises:
    UserError: if the options are not a network's.
    KeyError, TypeError, AttributeError: if they are not of a configuration's form.
  """
  class_names = tuple(class_names)
  given: dict[str, Any] = {
      key: tuple(value) if isinstance(value, list) else value
      for key, value in options['network'].items()
      if value is not None
  }
  matmul_precision, dtype = precision.get(options['precision'])
  with named_as_keys('network', dtype='precision'):
    network = networks.create(num_classes=len(class_names), dtype=dtype, **given)
  return TrainedNetwork(
      network,
      jax.tree.map(jnp.asarray, variables),
      class_names,
      tuple(image_shape),
      step,
      matmul_precision,
      {'network': dict(options['network']), 'precision': options['precision']},
  )


def _are_paths(observations: Any) -> bool:
  if isinstance(observations, str | os.PathLike):
    return True
  return (
      isinstance(observations, list | tuple)
      and bool(observations)
      and all(isinstance(one, str | os.PathLike) for one in observations)
  )
