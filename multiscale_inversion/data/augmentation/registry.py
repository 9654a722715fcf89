"""The augmentations by name."""

from collections.abc import Callable
from typing import Any

from multiscale_inversion.data.augmentation import weak
from multiscale_inversion.data.augmentation.strong import cutout, strong
from multiscale_inversion.options import Option
from multiscale_inversion.registry import Registry

_AUGMENTATIONS: Registry[weak.Augmentation] = Registry(
    {
        'none': weak.none,
        'noise': weak.noise,
        'shift': weak.shift,
        'flip': weak.flip,
        'flip_shift': weak.flip_shift,
        'cutout': cutout,
        'strong': strong,
    },
    # The configuration's section `augmentation` holds names under these.
    reserved=('name', 'weak', 'strong'),
)


def names() -> tuple[str, ...]:
  """Return the names that `create` takes."""
  return _AUGMENTATIONS.names()


def register(name: str, constructor: Callable[..., weak.Augmentation]) -> None:
  """Make an augmentation known to `create`; the constructor's parameters are its options.

  Raises:
    UserError: see `Registry.register`.
  """
  _AUGMENTATIONS.register(name, constructor)


def options(name: str) -> dict[str, Option]:
  """Return the options that the augmentation called `name` takes."""
  return _AUGMENTATIONS.options(name)


def create(name: str, **options: Any) -> weak.Augmentation:
  """Return the augmentation called `name`.

  Args:
    name: one of `names()`.
    **options: of `options(name)`.

  Raises:
    UserError: for an unknown name or option, or a value out of range.
  """
  return _AUGMENTATIONS.create(name, **options)
