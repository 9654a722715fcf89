"""Weights that a training starts from, in place of random ones."""

import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path

from multiscale_inversion.errors import UserError
from multiscale_inversion.objectives.context import Variables


def checked(given: Mapping[str, Any], drawn: Variables) -> Variables:
  """Return given variables in place of those that were drawn.

  Args:
    given: `params` and, where the network has them, `batch_stats`, as Flax's `init` returns them;
      running statistics that are not given are the drawn ones.
    drawn: the network's own, as its `init` has drawn them.

  Raises:
    UserError: if one is missing, is no variable of the network, has another shape, or is not
      finite.
  """
  unknown = {*given} - {*drawn}
  if unknown or 'params' not in given:
    raise UserError(
        f'initial variables: {", ".join(sorted(given)) or "none"}; allowed: params and batch_stats'
    )
  return {
      name: _checked(name, given[name], own) if given.get(name) else own
      for name, own in drawn.items()
  }


def _checked(collection: str, given: Any, drawn: Any) -> Any:
  wanted, found = _by_path(drawn), _by_path(given)
  for path in sorted({*wanted} ^ {*found}):
    what = 'missing' if path in wanted else 'not of the network'
    raise UserError(
        f'initial variables: {collection}/{path}: {what}; allowed: those of the same network'
    )
  for path, leaf in wanted.items():
    if np.shape(found[path]) != leaf.shape:
      raise UserError(
          f'initial variables: {collection}/{path}: of shape {np.shape(found[path])}; allowed: '
          f'{leaf.shape}'
      )
    if not np.isfinite(np.asarray(found[path], np.float32)).all():
      raise UserError(f'initial variables: {collection}/{path}: not finite')
  leaves = [jax.numpy.array(found[path], leaf.dtype) for path, leaf in wanted.items()]
  return jax.tree.unflatten(jax.tree.structure(drawn), leaves)


def _by_path(tree: Any) -> dict[str, Any]:
  leaves = tree_flatten_with_path(tree)[0]
  return {keystr(path, simple=True, separator='/'): leaf for path, leaf in leaves}


def checksum(variables: Mapping[str, Any]) -> str:
  """Return the SHA-256 of all variables, as float32, with their paths."""
  digest = hashlib.sha256()
  for path, leaf in sorted(_by_path(dict(variables)).items()):
    array = np.ascontiguousarray(np.asarray(leaf, np.float32))
    digest.update(f'{path} {array.shape}'.encode())
    digest.update(array.tobytes())
  return digest.hexdigest()
