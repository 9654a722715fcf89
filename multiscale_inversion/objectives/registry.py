"""The objectives by name."""

import inspect
from collections.abc import Callable
from typing import Any

from multiscale_inversion.errors import UserError, check_choice, check_options
from multiscale_inversion.objectives import baselines, learned, paper
from multiscale_inversion.objectives.context import ContextTerm
from multiscale_inversion.objectives.objective import Objective, Term, add
from multiscale_inversion.registry import Registry


def of_function(function: Objective | Term | None = None) -> Objective:
  """Return a custom loss as an objective.

  Args:
    function: a function (inversion, labels, mask) -> [N], a `ContextTerm` or an `Objective`.

  Raises:
    UserError: if it is none of these.
  """
  if not isinstance(function, Objective | ContextTerm) and not callable(function):
    raise UserError(
        f'objective.function: {function!r}; allowed: a function (inversion, labels, mask) -> [N], '
        'set in a configuration file'
    )
  return add(function)


def multiscale_added(
    layers: Any = None, stop_target: bool = False, layer_weights: Any = None, form: str = 'output'
) -> Objective:
  """Return Lambda (Eq. 10) alone, to be added to another objective; see `paper.multiscale`."""
  return add(paper.multiscale_reconstruction(layers, stop_target, layer_weights, form))


def global_added() -> Objective:
  """Return Gamma (Eq. 9) alone, to be added to another objective."""
  return add(paper.input_reconstruction())


_OBJECTIVES: Registry[Callable[..., Objective]] = Registry('objective.name', {
    'supervised': paper.supervised,
    'entropy': paper.entropy,
    'global': paper.global_,
    'multiscale': paper.multiscale,
    'convex': paper.convex,
    'learned': learned.learned,
    'pseudo_label': baselines.pseudo_label,
    'pi_model': baselines.pi_model,
    'temporal_ensembling': baselines.temporal_ensembling,
    'virtual_adversarial': baselines.virtual_adversarial,
    'mean_teacher': baselines.mean_teacher,
    'fixmatch': baselines.fixmatch,
    'function': of_function,
})
# Reconstruction losses that a name may add to an objective, such as `pi_model+multiscale`.
_ADDITIONS: dict[str, Callable[..., Objective]] = {
    'multiscale': multiscale_added,
    'global': global_added,
}
# Objectives that contain a reconstruction loss already.
_CONTAINED = {('multiscale', 'multiscale'), ('learned', 'multiscale'), ('global', 'global')}


def names() -> tuple[str, ...]:
  """Return the names that `create` takes, to which `+multiscale` or `+global` may be appended."""
  return _OBJECTIVES.names()


def register(name: str, function: Callable[..., Objective]) -> None:
  """Make an objective known to `create`.

  Args:
    name: its name.
    function: takes the objective's options and returns the objective.

  Raises:
    ValueError: see `Registry.register`.
  """
  _OBJECTIVES.register(name, function)


def _functions(name: str) -> list[Callable[..., Objective]]:
  base, *added = name.split('+') if isinstance(name, str) else [name]
  for part in added:
    check_choice(f'objective.name: {name}: after the plus', part, tuple(_ADDITIONS))
  if len({*added}) < len(added) or any((base, part) in _CONTAINED for part in added):
    raise UserError(f'objective.name: {name}; allowed: each reconstruction once')
  return [_OBJECTIVES[base], *(_ADDITIONS[part] for part in added)]


def check_name(name: str) -> None:
  """Raise a `UserError` unless `create` takes the name."""
  _functions(name)


def defaults(name: str) -> dict[str, Any]:
  """Return the options that the objective called `name` takes, with their defaults."""
  return {
      option: parameter.default
      for function in _functions(name)
      for option, parameter in inspect.signature(function).parameters.items()
  }


def create(name: str, **options) -> Objective:
  """Return the objective called `name`.

  Args:
    name: one of `names()`. An appended `+multiscale` or `+global` adds the reconstruction loss of
      Eq. 10 or 9.
    **options: options of the objective, see `defaults(name)`.

  Raises:
    UserError: if the name or an option is unknown, or a value is out of range.

  Example:
    >>> objective = create('fixmatch+multiscale', threshold=0.9)
  """
  check_options('objective', name, options, defaults(name))
  parts = []
  for function in _functions(name):
    taken = inspect.signature(function).parameters
    parts.append(function(**{key: value for key, value in options.items() if key in taken}))
  return parts[0] if len(parts) == 1 else add(*parts)
