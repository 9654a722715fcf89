"""What an import loads: a researcher who inverts a network waits for nothing that programs need."""

import json
import subprocess
import sys

import pytest

import multiscale_inversion

PROGRAMS_ONLY = {
  'array_record', 'grain', 'matplotlib', 'ml_collections', 'orbax', 'scipy', 'sklearn',
  'tensorboardX', 'tensorflow', 'tensorflow_datasets',
}  # fmt: skip
# Names that train, read or write, and so load these.
PROGRAMS = {
  'Callback', 'SemiSupervisedClassifier', 'fit', 'load', 'load_pretrained', 'pretrained_names',
}


def loaded(code):
  """The top-level modules that are loaded after some code, in a process of its own."""
  code += '; import json, sys; print(json.dumps([*sys.modules]))'
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
  return {name.partition('.')[0] for name in json.loads(done.stdout)}


def test_the_import_alone_loads_nothing():
  assert not loaded('import multiscale_inversion') & (PROGRAMS_ONLY | {'jax', 'flax', 'optax'})


def test_the_library_loads_nothing_that_only_programs_need():
  names = sorted({*multiscale_inversion.__all__} - PROGRAMS)
  found = loaded(f'import multiscale_inversion as mi; [getattr(mi, name) for name in {names}]')
  assert 'jax' in found
  # JAX itself loads parts of some.
  assert not (found - loaded('import jax, flax, optax, flax.linen, flax.nnx')) & PROGRAMS_ONLY


def test_all_public_names_are_there():
  for name in multiscale_inversion.__all__:
    assert getattr(multiscale_inversion, name) is not None
    assert name in dir(multiscale_inversion)
  with pytest.raises(AttributeError, match="has no attribute 'inverse'"):
    _ = multiscale_inversion.inverse
