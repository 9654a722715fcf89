"""Recipes: named sets of defaults that were chosen together.

A recipe changes the defaults of a configuration's options. A value that is set has precedence, and
an option that the chosen network or objective does not take is ignored.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from multiscale_inversion.errors import check_choice

PAPER, FEW_LABELS = 'paper', 'few_labels'

_RECIPES: Mapping[str, Mapping[str, Mapping[str, Any]]] = MappingProxyType({
    PAPER: {},
    # Chosen on scikit-learn's digits with 50 labels, see configs/digits_50.py.
    FEW_LABELS: {
        'network': {'batch_norm_inverse': 'batch', 'dropout_rate': 0.1},
        'objective': {'reduction': 'group', 'unlabeled': 'information'},
    },
})
NAMES = tuple(_RECIPES)


def defaults(recipe: str, section: str) -> dict[str, Any]:
  """Return the defaults that a recipe changes.

  Args:
    recipe: `paper`, the paper's protocol (Section 3.1), which changes none; or `few_labels`, for
      data with few labels: the inverse through the batch's own statistics, dropout of 0.1, means
      over each group of observations, and information in place of entropy.
    section: section of the configuration.

  Raises:
    UserError: for an unknown recipe.
  """
  check_choice('recipe', recipe, NAMES)
  return dict(_RECIPES[recipe].get(section, {}))
