"""Networks that are no sequence of layers: any Flax module, inverted at values inside it."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax

from multiscale_inversion.errors import UserError
from multiscale_inversion.inversion.calls import Calls
from multiscale_inversion.inversion.linen import capture, invert_module
from multiscale_inversion.inversion.stages import Inversion
from multiscale_inversion.networks.network import Network


class UnstagedNetwork(Network):
  """Base of networks that hold a Flax module as it is.

  A subclass makes the module in `setup`, calls it in `logits(x, train, inverse)`, and says in
  `inverted` at which values the network is inverted beside its input. They may lie on branches.

  Attributes:
    inverted: submodules by their paths from the network on, as `invert_module` takes them; a class
      attribute or a property.

  Example:
    >>> class Mine(UnstagedNetwork):
    ...   num_classes: int
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
    """Runs the module.

    Args:
      x: observations, shape [N, ...].
      train: use batch statistics and dropout.
      inverse: whether the call is being inverted, for layers that ask, such as
        `networks.BatchNorm`. A module of another's hand knows of none: then what its batch norm
        takes from a batch varies with the observations in the inverse, too, the mode `batch`.

    Returns:
      Shape [N, C].
    """
    raise NotImplementedError

  def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, ...]:
    """See `Network`; the values inside are those of `inverted`, in its order.

    Raises:
      UserError: for one of `inverted` that is not called, or called several times.
      TypeError: for one that does not return one floating-point array.
    """
    x = self.as_observations(x, train)
    calls = Calls(self.inverted)
    with capture(calls):
      logits = self.logits(x, train, inverse=False)
    calls.check()
    return (x, *(calls.values[name] for name in self.inverted), logits)

  def num_layers(self) -> int:
    """L: the input, and the values of `inverted`."""
    return 1 + len(self.inverted)

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
    """See `Network`; there are no pullbacks from one value to the next."""
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
