"""What options of networks may be, by their names, whichever network takes them."""

from collections.abc import Callable
from typing import Any

from multiscale_inversion.errors import check_whole, in_choices, in_range
from multiscale_inversion.nn import batch_norm as normalization
from multiscale_inversion.nn import layers

_positive = lambda key, value: check_whole(key, value, 1)

# Called as check(key, value) with a key for the error.
OPTION_CHECKS: dict[str, Callable[[str, Any], None]] = {
    'blocks_per_group': _positive,
    'depth': _positive,
    'width': _positive,
    'kernel_size': _positive,
    'num_heads': _positive,
    'patch_size': _positive,
    'activation': in_choices(lambda: layers.ACTIVATIONS),
    'negative_slope': in_range(0, 1),
    'pooling': in_choices(lambda: layers.POOLINGS),
    'dropout_rate': in_range(0, 1, open_end=True),
    'batch_norm_inverse': in_choices(lambda: normalization.INVERSE_MODES),
    'batch_norm_momentum': in_range(0, 1, open_end=True),
    'batch_norm_epsilon': in_range(0, 1),
    'initializer': in_choices(lambda: layers.INITIALIZERS),
}


def check(options: dict[str, Any]) -> None:
  """Raises a `UserError` for an option whose value is not allowed."""
  for option, value in options.items():
    if option in OPTION_CHECKS:
      OPTION_CHECKS[option](f'network.{option}', value)
