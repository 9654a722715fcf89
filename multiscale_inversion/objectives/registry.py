"""The objectives by name."""

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
    function: a function (inversion, labels, mask) -> [N], a `ContextTerm` or an `Objective`; it can
      be set in a configuration file only.

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


def global_added() -> Term:
  """Return Gamma (Eq. 9) alone, to be added to another objective."""
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
    'mixmatch': baselines.mixmatch,
    'fixmatch': baselines.fixmatch,
    'flexmatch': baselines.flexmatch,
    'freematch': baselines.freematch,
    'softmatch': baselines.softmatch,
    'function': of_function,
})
# Reconstruction losses that a name may add to an objective, such as `pi_model+multiscale`: Lambda
# (Eq. 10) or Gamma (Eq. 9) alone.
_ADDITIONS: Registry[Term] = Registry({
    'multiscale': paper.multiscale_reconstruction,
    'global': global_added,
})
# Objectives that contain a reconstruction loss already.
_CONTAINED = {('multiscale', 'multiscale'), ('learned', 'multiscale'), ('global', 'global')}

# A name may have `+multiscale` or `+global` appended.
names, register = _OBJECTIVES.names, _OBJECTIVES.register


def _parts(name: str) -> list[tuple[Registry[Any], str]]:
  """Return the parts of a name, each with the registry that it is from."""
  base, *added = name.split('+') if isinstance(name, str) else [name]
  for part in added:
    if part not in _ADDITIONS.names():
      allowed = ', '.join(_ADDITIONS.names())
      raise UserError(f'{name}: after the plus: unknown {part!r}; allowed: {allowed}', 'name')
  if len({*added}) < len(added) or any((base, part) in _CONTAINED for part in added):
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
    name: one of `names()`. An appended `+multiscale` or `+global` adds the reconstruction loss of
      Eq. 10 or 9.
    **options_: options of the objective, see `options(name)`.

  Raises:
    UserError: if the name or an option is unknown, or a value is out of range.

  Example:
    >>> objective = create('fixmatch+multiscale', threshold=0.9)
  """
  check_values(name, options_, options(name))
  made = [
      registry.create(part, **{k: v for k, v in options_.items() if k in registry.options(part)})
      for registry, part in _parts(name)
  ]
  return made[0] if len(made) == 1 else add(*made)
