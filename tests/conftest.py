"""What the tests share."""

import os

os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import jax
import pytest


@pytest.fixture
def float64():
  """Double precision for one test: oracles are compared to ten digits, not to three."""
  before = jax.config.jax_enable_x64
  jax.config.update('jax_enable_x64', True)
  yield
  jax.config.update('jax_enable_x64', before)
