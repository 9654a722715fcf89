"""The objectives by name."""

from collections.abc import Callable
from typing import Any

from multiscale_inversion.errors import UserError
from multiscale_inversion.objectives import baselines, learned, paper
from multiscale_inversion.objectives.context import ContextTerm
from multiscale_inversion.objectives.objective import Objective, Term, add
from multiscale_inversion.options import Option, check_values, defaults_of
from multiscale_inversion.registry import Registry


def of_function(function: Objective | Term | None = None) -> Objective:
  """Return a custom loss as an objective.

  Args:
    function: (inversion, labels, mask) -> [N], or what `add` takes; set in a configuration file.

  Raises:
    UserError: if it is none of these.
  """
  if not isinstance(function, Objective | ContextTerm) and not callable(function):
    raise UserError(
        f'{function!r}; allowed: a function (inversion, labels, mask) -> [N], set in a '
        'configuration file',
        'function',
    )
  return add(function)


def _global_reconstruction() -> Term:
  return paper.input_reconstruction()


_OBJECTIVES: Registry[Objective] = Registry({
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
# What a name may end in, `pi_model+multiscale`: Lambda (Eq. 10) or Gamma (Eq. 9) alone.
_ADDITIONS: Registry[Term] = Registry({
    'multiscale': paper.multiscale_reconstruction,
    'global': _global_reconstruction,
})
# Objectives that have an addition already.
_IN_IT = {('multiscale', 'multiscale'), ('learned', 'multiscale'), ('global', 'global')}


def names() -> tuple[str, ...]:
  """Return the names that `create` takes, each also with `+multiscale` or `+global` behind it."""
  return _OBJECTIVES.names()


def register(name: str, function: Callable[..., Objective]) -> None:
  """Make an objective known to `create`.

  Args:
    name: the objective's.
    function: returns the objective; its parameters are the objective's options.

  Raises:
    UserError: see `Registry.register`.
  """
  _OBJECTIVES.register(name, function)


def _parts(name: str) -> list[tuple[Registry[Any], str]]:
  """Return the parts of a name, each with the registry that it is from."""
  base, *added = name.split('+') if isinstance(name, str) else [name]
  for part in added:
    if part not in _ADDITIONS.names():
      allowed = ', '.join(_ADDITIONS.names())
      raise UserError(f'{name}: after the plus: unknown {part!r}; allowed: {allowed}', 'name')
  if len({*added}) < len(added) or any((base, part) in _IN_IT for part in added):
    raise UserError(f'{name}; allowed: each reconstruction once', 'name')
  return [(_OBJECTIVES, base), *((_ADDITIONS, part) for part in added)]


def options(name: str) -> dict[str, Option]:
  """Return the options that the objective called `name` takes, those of its additions among them.

  Raises:
    UserError: for a name that `create` does not take.
  """
  found: dict[str, Option] = {}
  for registry, part in _parts(name):
    found = found | registry.options(part) | found  # the first part's come first
  return found


def defaults(name: str) -> dict[str, Any]:
  """Return the defaults of `options(name)`; None where an option is required."""
  return defaults_of(options(name))


def create(name: str, **options_: Any) -> Objective:
  """Return the objective called `name`.

  Args:
    name: one of `names()`; with `+multiscale` or `+global` behind it, the reconstruction loss of
      Eq. 10 or 9 is added to it.
    **options_: of `options(name)`.

  Raises:
    UserError: for an unknown name or option, or a value out of range.

  Example:
    >>> objective = create('fixmatch+multiscale', threshold=0.9)
  """
  check_values(name, options_, options(name))
  made = [
      registry.create(part, **{k: v for k, v in options_.items() if k in registry.options(part)})
      for registry, part in _parts(name)
  ]
  return made[0] if len(made) == 1 else add(*made)
