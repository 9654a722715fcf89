"""The precision of the arithmetic in training."""

from typing import NamedTuple

from multiscale_inversion.errors import check_choice


class Precision(NamedTuple):
  """How precisely matrix products and convolutions are computed.

  Parameters, the optimizer's state, batch norm's statistics and losses are always float32.

  Attributes:
    matmul: the precision of float32 matrix products and convolutions, by its name in JAX.
    dtype: type of activations and reconstructions, except for the input and the logits; None for
      the type of the input.
  """

  matmul: str
  dtype: str | None


_PRECISIONS = {
    'float32': Precision('highest', None),
    'tf32': Precision('tensorfloat32', None),
    'bfloat16': Precision('bfloat16', 'bfloat16'),
}
NAMES = tuple(_PRECISIONS)


def get(name: str) -> Precision:
  """Return a precision by its name.

  - `float32`: full single precision, also on hardware whose default is less.
  - `tf32`: the factors of products are rounded to a significand of 11 bits, on GPUs that support
    it; other hardware ignores it.
  - `bfloat16`: activations, reconstructions and their products have a significand of 8 bits.

  Raises:
    UserError: if the name is unknown.
  """
  check_choice('precision', name, NAMES)
  return _PRECISIONS[name]
