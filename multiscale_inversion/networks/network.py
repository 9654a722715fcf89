"""What training and evaluation ask of a network."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax

from multiscale_inversion.arrays import as_array
from multiscale_inversion.errors import UserError
from multiscale_inversion.inversion.stages import Inversion


class Network(nn.Module):
  """Base of all networks: modules that return every activation and can be inverted.

  Not to be subclassed by itself: `LayeredNetwork` is a sequence of layers, `UnstagedNetwork` any
  module. All networks have an attribute `num_classes`.

  Attributes:
    num_axes: how many axes observations may have, the first one theirs; a class attribute.
  """

  num_axes = range(1, 33)

  def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, ...]:
    """Runs the network.

    Args:
      x: observations, shape [N, ...].
      train: use batch statistics and dropout (then `apply` takes `mutable=['batch_stats']` and
        `rngs={'dropout': key}`).

    Returns:
      (z^(0), ..., z^(L)): the input, L - 1 values inside, the logits.
    """
    raise NotImplementedError

  def num_layers(self) -> int:
    """L, the number of activations that have a reconstruction."""
    raise NotImplementedError

  @nn.nowrap
  def as_observations(self, x: Any, train: bool) -> jax.Array:
    """Return what the network is given as an array that it takes.

    Args:
      x: observations: an array of JAX or NumPy, or nested sequences of numbers.
      train: whether they are trained on, which takes one at least: there are no statistics of none.

    Raises:
      TypeError: if they make no array.
      UserError: for another number of axes, or an empty one; that of the observations may be empty
        in evaluation.
    """
    x = as_array(x, 'x')
    if x.ndim not in self.num_axes:
      least, most = min(self.num_axes), max(self.num_axes)
      allowed = str(least) if least == most else f'from {least} to {most}'
      raise UserError(
          f'x has the shape {x.shape}; allowed: {allowed} axes, the observations along the first'
      )
    if 0 in x.shape[0 if train else 1 :]:
      raise UserError(
          f'x has the shape {x.shape}; allowed: at least one along each axis'
          + ('' if train else ' but the first')
      )
    return x

  @nn.nowrap
  def invert(
      self,
      variables: Mapping[str, Any],
      x: jax.Array,
      train: bool = False,
      rngs: Mapping[str, jax.Array] | None = None,
      keep_pullbacks: bool = False,
      rematerialize: bool = False,
  ) -> Inversion:
    """The activations and their reconstructions.

    Args:
      variables: what `init` returned, or as trained: `params` and, where there are any,
        `batch_stats`.
      x: observations, shape [N, ...].
      train: use batch statistics and dropout.
      rngs: `{'dropout': key}` when training with dropout. One mask serves both ways; it is the
        mask of `apply` with the same key.
      keep_pullbacks: see `multiscale_inversion.invert`; of a network in layers only.
      rematerialize: see `multiscale_inversion.invert`; of a network in layers only.

    Returns:
      The `Inversion`, with the updated batch statistics, in training, as auxiliary values:
      `merge_updates` joins them.

    Raises:
      UserError: for what the network cannot do.
    """
    raise NotImplementedError


def merge_updates(auxiliary: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """Joins the updated collections that the stages of a training pass returned.

  Args:
    auxiliary: `Inversion.auxiliary` of a `Network` in training.

  Returns:
    The collections by name, as `apply` with `mutable` would have returned them; `{}` when no layer
    holds statistics.
  """
  merged: dict[str, Any] = {}
  for updates in auxiliary:
    for collection, values in updates.items():
      merged.setdefault(collection, {}).update(values)
  return merged
