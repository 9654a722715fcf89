"""Semi-supervised learning by inverting a deep network at every layer.

Balestriero, Glotin and Baraniuk, "Semi-Supervised Learning Enabled by Multiscale Deep Neural
Network Inversion", arXiv:1802.10172.

Names are loaded when they are first used: a program answers signals before JAX is imported, and a
researcher who only inverts a network waits for no checkpointing library.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from multiscale_inversion import (
      data,
      evaluation,
      losses,
      metrics,
      networks,
      objectives,
      parallel,
      precision,
      training,
  )
  from multiscale_inversion.errors import UserError
  from multiscale_inversion.estimator import SemiSupervisedClassifier
  from multiscale_inversion.fitting import fit
  from multiscale_inversion.inversion import (
      Inversion,
      hold_in_inverse,
      invert,
      invert_module,
      invert_nnx_module,
  )
  from multiscale_inversion.loading import load, load_pretrained, pretrained_names
  from multiscale_inversion.runs.callbacks import Callback
  from multiscale_inversion.trained import TrainedNetwork
  from multiscale_inversion.version import __version__

_MODULES = (
    'data',
    'evaluation',
    'losses',
    'metrics',
    'networks',
    'objectives',
    'parallel',
    'precision',
    'training',
)
# Where each other name is defined.
_HOMES = {
    'Inversion': 'inversion',
    'TrainedNetwork': 'trained',
    'SemiSupervisedClassifier': 'estimator',
    'UserError': 'errors',
    '__version__': 'version',
    'Callback': 'runs.callbacks',
    'fit': 'fitting',
    'hold_in_inverse': 'inversion',
    'invert': 'inversion',
    'invert_module': 'inversion',
    'invert_nnx_module': 'inversion',
    'load': 'loading',
    'load_pretrained': 'loading',
    'pretrained_names': 'loading',
}

__all__ = [
    'Callback',
    'Inversion',
    'SemiSupervisedClassifier',
    'TrainedNetwork',
    'UserError',
    '__version__',
    'data',
    'evaluation',
    'fit',
    'hold_in_inverse',
    'invert',
    'invert_module',
    'invert_nnx_module',
    'load',
    'load_pretrained',
    'losses',
    'metrics',
    'networks',
    'objectives',
    'parallel',
    'precision',
    'pretrained_names',
    'training',
]


def __getattr__(name: str) -> Any:
  """Load a public name at its first use (PEP 562)."""
  if name in _MODULES:
    return importlib.import_module(f'{__name__}.{name}')
  if name in _HOMES:
    value = getattr(importlib.import_module(f'{__name__}.{_HOMES[name]}'), name)
    globals()[name] = value
    return value
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__})
