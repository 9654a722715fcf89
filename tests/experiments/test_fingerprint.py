"""Losses that compute something else have another description, equal ones the same."""

import functools

import jax.numpy as jnp
import pytest

from experiments.fingerprint import describe
from multiscale_inversion import objectives


def first(inversion, labels, mask, scale=1.0):
  return scale * mask


def second(inversion, labels, mask):
  return 2 * mask


def scaled(scale):
  def loss(inversion, labels, mask):
    return scale * mask

  return loss


MAKERS = [
  lambda: first,
  lambda: second,
  lambda: scaled(1.0),
  lambda: scaled(2.0),
  lambda: scaled(jnp.ones(2)),
  lambda: scaled(jnp.zeros(2)),
  lambda: functools.partial(first, scale=2.0),
  lambda: functools.partial(first, scale=3.0),
  lambda: objectives.add(objectives.labeled(first)),
  lambda: objectives.add(objectives.labeled(second)),
  lambda: objectives.add(objectives.labeled(first, 'group')),
  lambda: objectives.add((0.5, first)),
  lambda: objectives.add((lambda progress: progress, first)),
  lambda: objectives.create('multiscale', layers=(0,)),
  lambda: objectives.create('multiscale', layers=(1,)),
  lambda: objectives.create('fixmatch', threshold=0.5),
  lambda: objectives.create('fixmatch', threshold=0.99),
]


def test_all_differ():
  assert len({describe(make()) for make in MAKERS}) == len(MAKERS)


@pytest.mark.parametrize('make', MAKERS)
def test_equal_ones_are_the_same(make):
  assert describe(make()) == describe(make())


def test_names():
  text = describe(objectives.add((0.5, first), objectives.create('fixmatch')))
  assert text.startswith('sum of first, ') and ' (source ' in text


def test_recursion_ends():
  def loss(inversion, labels, mask):
    return loss

  assert describe(loss) == describe(loss)


SOURCE = """
import dataclasses
import functools
import jax

SCALE = 1.0

def helper(z):
  return z

@dataclasses.dataclass
class Weighted:
  scale: float
  def __call__(self, inversion, labels, mask):
    return self.scale * mask

class Plain:
  def __init__(self, scale):
    self.scale = scale
  def __call__(self, inversion, labels, mask):
    return self.scale * self.power(mask)
  def power(self, z):
    return z

@jax.jit
def compiled(z):
  return z

def constant(inversion, labels, mask):
  return SCALE * mask

def helped(inversion, labels, mask):
  return (lambda z: helper(z))(mask)

def recursive(inversion, labels, mask):
  return recursive(inversion, labels, mask) if helper(mask) is None else mask

def through_jit(inversion, labels, mask):
  return compiled(mask)

def keyword_only(inversion, labels, mask, *, factor=2.0):
  return factor * mask

def number(inversion, labels, mask):
  return 3.0 * mask

def unrelated():
  return 5

dataclass_loss, plain_loss = Weighted(1.0), Plain(1.0)
bound = Plain(1.0).__call__
schedule = lambda progress: progress * SCALE
"""


def load(source, name):
  """A loss of a file, which is run as the programs run a configuration."""
  space = {'__name__': '<run_path>'}
  exec(compile(source, 'mine.py', 'exec'), space)
  # The file as it is on the disk is no test's matter: sources are read from the code.
  return space[name]


@pytest.mark.parametrize(('name', 'old', 'new'), [
  ('constant', 'SCALE = 1.0', 'SCALE = 5.0'),
  ('schedule', 'SCALE = 1.0', 'SCALE = 5.0'),
  ('helped', 'return z\n\n@data', 'return z**4\n\n@data'),
  ('recursive', 'return z\n\n@data', 'return z**4\n\n@data'),
  ('through_jit', 'return z\n\ndef constant', 'return z**4\n\ndef constant'),
  ('keyword_only', 'factor=2.0', 'factor=3.0'),
  ('number', '3.0 * mask', '4.0 * mask'),
  ('dataclass_loss', 'Weighted(1.0)', 'Weighted(7.0)'),
  ('dataclass_loss', 'self.scale * mask', 'self.scale + mask'),
  ('plain_loss', ', Plain(1.0)', ', Plain(7.0)'),
  ('plain_loss', 'self.scale * self', 'self.scale + self'),
  ('plain_loss', 'return z\n\n@jax', 'return z**4\n\n@jax'),
  ('bound', 'bound = Plain(1.0)', 'bound = Plain(7.0)'),
  ('bound', 'return z\n\n@jax', 'return z**4\n\n@jax'),
])
def test_what_a_loss_reads_counts(name, old, new):
  assert SOURCE.count(old) == 1
  before = describe(load(SOURCE, name))
  assert describe(load(SOURCE, name)) == before
  assert describe(load(SOURCE.replace(old, new), name)) != before
  assert describe(load(SOURCE.replace('return 5', 'return 6'), name)) == before
