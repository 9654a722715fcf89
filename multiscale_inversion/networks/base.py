"""The bases of all networks: in layers, or any module inverted at values inside it."""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax

from multiscale_inversion.arrays import as_array
from multiscale_inversion.errors import UserError
from multiscale_inversion.inversion.calls import Calls
from multiscale_inversion.inversion.linen import capture, check_variables, invert_module
from multiscale_inversion.inversion.stages import Inversion, invert

Rngs = jax.Array | Mapping[str, jax.Array]


class Network(nn.Module):
  """Base of all networks: modules that return every activation and can be inverted.

  Custom networks subclass `LayeredNetwork`, a sequence of layers, or `UnstagedNetwork`, any module.

  Attributes:
    num_axes: the numbers of axes that observations may have, the first one theirs; a class
      attribute.
    num_classes: number of classes C.
    axis_name: mapped axis over whose devices a batch is spread; None for one device. A network with
      batch norm takes its statistics over this axis.
  """

  num_axes: ClassVar[Collection[int]] = range(1, 33)

  num_classes: int
  axis_name: str | None = None

  def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, ...]:
    """Run the network.

    Args:
      x: observations, shape [N, ...].
      train: use batch statistics and dropout; `apply` then needs `mutable=['batch_stats']` and
        `rngs={'dropout': key}`.

    Returns:
      (z^(0), ..., z^(L)): the input, L - 1 values inside, the logits.
    """
    raise NotImplementedError

  def num_layers(self) -> int:
    """Return L, the number of activations that have a reconstruction."""
    raise NotImplementedError

  @nn.nowrap
  def invert(
      self,
      variables: Mapping[str, Any],
      x: jax.Array,
      train: bool = False,
      rngs: Rngs | None = None,
      keep_pullbacks: bool = False,
      rematerialize: bool = False,
  ) -> Inversion:
    """Return the activations and their reconstructions.

    Args:
      variables: those that `init` returned, or trained ones: `params` and, if there are any,
        `batch_stats`.
      x: observations, shape [N, ...].
      train: use batch statistics and dropout.
      rngs: `{'dropout': key}` when training with dropout. The forward pass and the inverse share
        one mask, which is that of `apply` with the same key.
      keep_pullbacks: see `multiscale_inversion.invert`; for networks in layers only.
      rematerialize: see `multiscale_inversion.invert`; for networks in layers only.

    Returns:
      The `Inversion`. In training, its auxiliary values are the updated batch statistics, which
      `merge_updates` joins.

    Raises:
      UserError: for an option that the network does not support.
    """
    raise NotImplementedError

  @nn.nowrap
  def as_observations(self, x: Any, train: bool) -> jax.Array:
    """Return the network's input as an array with an allowed shape.

    Args:
      x: observations: an array of JAX or NumPy, or nested sequences of numbers.
      train: whether the network is trained on them. Batch statistics need at least one observation.

    Raises:
      TypeError: if x does not make an array.
      UserError: if the number of axes is not allowed, or an axis is empty; in evaluation the first
        axis may be empty.
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
  def ignores_axis(self, variables: Mapping[str, Any], x: jax.Array) -> bool:
    """Tell whether training keeps statistics, but not over all devices of `axis_name`.

    Args:
      variables: those that `init` returned.
      x: observations, shape [N, ...]; only their shape counts.
    """
    if self.axis_name is None or 'batch_stats' not in variables:
      return False

    def train():
      rngs = {'dropout': jax.random.key(0)}
      return self.apply(variables, x, train=True, rngs=rngs, mutable=['batch_stats'])

    try:
      jax.eval_shape(train)
    except NameError:  # a pass over the axis cannot be traced here, where the axis is not mapped
      return False
    return True


class LayeredNetwork(Network):
  """Base of networks that are sequences of layers.

  A subclass sets `self.layers` in `setup`: L modules, called as `layer(z, train=..., inverse=...)`,
  each of which maps an activation to the next. The last one returns the logits.
  """

  def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, ...]:
    """See `Network`; the values inside are the outputs of all layers but the last."""
    activations = [self.as_observations(x, train)]
    for layer in self.layers:
      activations.append(layer(activations[-1], train=train))
    return tuple(activations)

  def apply_layer(self, index: int, z: jax.Array, train: bool = False) -> jax.Array:
    """Run one layer, in the form that `invert` differentiates."""
    return self.layers[index](z, train=train, inverse=True)

  def num_layers(self) -> int:
    """Return L, the number of layers."""
    return len(self.layers)

  @nn.nowrap
  def stages(
      self, variables: Mapping[str, Any], train: bool = False, rngs: Rngs | None = None
  ) -> Sequence[Callable[[jax.Array], Any]]:
    """Return the network as pure functions of one activation each, for `invert`.

    Args:
      variables: see `invert`.
      train: use batch statistics and dropout.
      rngs: see `invert`.

    Returns:
      L functions: z^(l) -> z^(l+1) in evaluation, and z^(l) -> (z^(l+1), updated batch statistics)
      in training; `merge_updates` joins the updates.

    Raises:
      TypeError: if `variables` is not a mapping.
    """
    check_variables(variables)
    keys = dict(rngs) if isinstance(rngs, Mapping) else rngs
    count = self.bind(variables).num_layers()
    return [self._stage(index, variables, train, keys) for index in range(count)]

  @nn.nowrap
  def invert(
      self,
      variables: Mapping[str, Any],
      x: jax.Array,
      train: bool = False,
      rngs: Rngs | None = None,
      keep_pullbacks: bool = False,
      rematerialize: bool = False,
  ) -> Inversion:
    """See `Network`: `multiscale_inversion.invert` of the stages."""
    return invert(self.stages(variables, train, rngs), x, keep_pullbacks, rematerialize)

  @nn.nowrap
  def _stage(
      self, index: int, variables: Mapping[str, Any], train: bool, rngs: Rngs | None
  ) -> Callable[[jax.Array], Any]:
    """Return one stage."""
    apply: Any = functools.partial(self.apply, variables, index, method='apply_layer')

    def enter(z: jax.Array) -> jax.Array:
      return z if index else self.as_observations(z, train)

    def evaluate(z: jax.Array) -> jax.Array:
      return apply(enter(z))

    def step(z: jax.Array) -> tuple[jax.Array, dict[str, Any]]:
      z, updates = apply(enter(z), train=True, rngs=rngs, mutable=['batch_stats'])
      name = f'layers_{index}'
      return z, {k: {name: v[name]} for k, v in updates.items() if name in v}

    return step if train else evaluate


class UnstagedNetwork(Network):
  """Base of networks that hold any Flax module, unchanged.

  A subclass makes the module in `setup` and calls it in `logits(x, train, inverse)`. Its attribute
  `inverted` lists the submodules at whose outputs the network is inverted, beside its input. They
  may lie on branches.

  Attributes:
    inverted: submodules by their paths, which start at the network, as `invert_module` takes them;
      a class attribute or a property.

  Example:
    >>> class Mine(UnstagedNetwork):
    ...   inverted = ('features',)
    ...
    ...   def setup(self):
    ...     self.features, self.head = nn.Dense(4), nn.Dense(self.num_classes)
    ...
    ...   def logits(self, x, train, inverse):
    ...     return self.head(nn.relu(self.features(x)))
    >>> x = jax.numpy.ones([3, 5])
    >>> network = Mine(num_classes=2)
    >>> result = network.invert(network.init(jax.random.key(0), x), x)
    >>> [r.shape for r in result.reconstructions]
    [(3, 5), (3, 4)]
  """

  inverted: ClassVar[Sequence[str]] = ()

  def logits(self, x: jax.Array, train: bool, inverse: bool) -> jax.Array:
    """Run the module.

    Args:
      x: observations, shape [N, ...].
      train: use batch statistics and dropout.
      inverse: whether the call is being inverted, for layers that take this argument, such as
        `networks.BatchNorm`. Third-party batch norm does not; its inverse goes through the batch's
        statistics, as in the mode `batch`.

    Returns:
      Shape [N, C].
    """
    raise NotImplementedError

  def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, ...]:
    """See `Network`; the values inside are those of `inverted`, in its order.

    Raises:
      UserError: if a name in `inverted` is not called, or called several times.
      TypeError: if one does not return one floating-point array.
    """
    x = self.as_observations(x, train)
    calls = Calls(self.inverted)
    with capture(calls):
      logits = self.logits(x, train, inverse=False)
    calls.check()
    return (x, *(calls.values[name] for name in self.inverted), logits)

  def num_layers(self) -> int:
    """Return L: one for the input, and one for each value of `inverted`."""
    return 1 + len(self.inverted)

  @nn.nowrap
  def invert(
      self,
      variables: Mapping[str, Any],
      x: jax.Array,
      train: bool = False,
      rngs: Rngs | None = None,
      keep_pullbacks: bool = False,
      rematerialize: bool = False,
  ) -> Inversion:
    """See `Network`; the inversion has no pullbacks from one value to the next."""
    if rematerialize:
      raise UserError('rematerialize: True; allowed for a network that is not in layers: False')
    return invert_module(
        self,
        variables,
        self.as_observations(x, train),
        self.inverted,
        rngs=rngs,
        mutable=['batch_stats'] if train else [],
        method='logits',
        train=train,
        inverse=True,
    )


def merge_updates(auxiliary: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """Join the updated collections that the stages of a training pass returned.

  Args:
    auxiliary: `Inversion.auxiliary` of a `Network` in training.

  Returns:
    The collections by name, as `apply` with `mutable` would return them; `{}` when no layer has
    statistics.
  """
  merged: dict[str, Any] = {}
  for updates in auxiliary:
    for collection, values in updates.items():
      merged.setdefault(collection, {}).update(values)
  return merged
