"""The precision of a training's arithmetic."""

from typing import NamedTuple

from multiscale_inversion.errors import check_choice


class Precision(NamedTuple):
  """How precisely matrix products and convolutions are computed.

  Parameters, optimizer, batch norm's statistics and losses are float32 in any case.

  Attributes:
    matmul: JAX's name of the precision of float32 matrix products and convolutions.
    dtype: type of activations and reconstructions, the input's and the logits apart; None for the
      input's own.
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
  """The precision called `name`.

  `float32`: full single precision, also on hardware whose default is less. `tf32`: factors of
  products rounded to a significand of 11 bits on GPUs that have it (others ignore it). `bfloat16`:
  activations and reconstructions with a significand of 8 bits, and products of them.

  Raises:
    UserError: for an unknown name.
  """
  check_choice('precision', name, NAMES)
  return _PRECISIONS[name]
