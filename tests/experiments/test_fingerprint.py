"""Losses that compute something else have another description, equal ones the same."""

import functools
import importlib
import runpy
import sys

import jax.numpy as jnp
import pytest

from multiscale_inversion import objectives
from multiscale_inversion.runs.fingerprint import describe


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
import jax.numpy as jnp
from multiscale_inversion import objectives

SCALE = 1.0
KEY = jax.random.key(0)
KINDS = {'a', 'b'}

def helper(z):
  return z

def doubled(function):
  @functools.wraps(function)
  def wrapper(*arguments):
    return 2.0 * function(*arguments)
  return wrapper

@dataclasses.dataclass
class Weighted:
  scale: float
  def __call__(self, inversion, labels, mask):
    return self.scale * mask

class Base:
  __slots__ = ('offset',)
  def power(self, z):
    return z
  @property
  def shift(self):
    return 0.5

class Plain(Base):
  def __init__(self, scale):
    self.scale, self.offset = scale, 9.0
  def __call__(self, inversion, labels, mask):
    return self.scale * self.power(mask) + self.shift

@jax.jit
def compiled(z):
  return z

@jax.custom_vjp
def own_gradient(z):
  return z

def forward(z):
  return z, None

def backward(_, gradient):
  return (gradient * 1.5,)

own_gradient.defvjp(forward, backward)

def constant(inversion, labels, mask):
  return SCALE * mask

def helped(inversion, labels, mask):
  return (lambda z: helper(z))(mask)

def recursive(inversion, labels, mask):
  return recursive(inversion, labels, mask) if helper(mask) is None else mask

def through_jit(inversion, labels, mask):
  return compiled(mask)

def through_gradient(inversion, labels, mask):
  return own_gradient(mask)

def random(inversion, labels, mask):
  return jax.random.normal(KEY, mask.shape) * ('a' in KINDS)

def keyword_only(inversion, labels, mask, *, factor=2.0):
  return factor * mask

def number(inversion, labels, mask):
  return (lambda z: 3.0 * z)(jnp.abs(mask))

@doubled
def decorated(inversion, labels, mask):
  return mask

def unrelated():
  return 5

dataclass_loss, plain_loss = Weighted(1.0), Plain(1.0)
bound = Plain(1.0).__call__
partial = functools.partial(keyword_only, factor=4.0)
schedule = lambda progress: progress * SCALE
joined = objectives.add(objectives.per_log_classes(plain_loss), objectives.labeled(partial),
                        objectives.per_log_classes(objectives.create('multiscale')))
"""


def from_file(source, folder):
  """As the programs run a configuration."""
  path = folder / 'mine.py'
  path.write_text(source)
  return runpy.run_path(str(path))


def without_file(source, folder):
  """As in a terminal."""
  space = {'__name__': '__main__'}
  exec(compile(source, 'nowhere.py', 'exec'), space)
  return space


@pytest.mark.parametrize('load', [from_file, without_file])
@pytest.mark.parametrize(('name', 'old', 'new'), [
  ('constant', 'SCALE = 1.0', 'SCALE = 5.0'),
  ('schedule', 'SCALE = 1.0', 'SCALE = 5.0'),
  ('helped', 'return z\n\ndef doubled', 'return z**4\n\ndef doubled'),
  ('recursive', 'return z\n\ndef doubled', 'return z**4\n\ndef doubled'),
  ('through_jit', 'return z\n\n@jax.custom', 'return z**4\n\n@jax.custom'),
  ('through_gradient', 'gradient * 1.5', 'gradient * 2.5'),
  ('random', 'key(0)', 'key(1)'),
  ('random', "{'a', 'b'}", "{'a', 'c'}"),
  ('keyword_only', 'factor=2.0', 'factor=3.0'),
  ('number', '3.0 * z', '4.0 * z'),
  ('number', 'jnp.abs(mask)', 'jnp.square(mask)'),
  ('decorated', '2.0 * function', '3.0 * function'),
  ('partial', 'factor=4.0', 'factor=5.0'),
  ('dataclass_loss', 'Weighted(1.0)', 'Weighted(7.0)'),
  ('dataclass_loss', 'self.scale * mask', 'self.scale + mask'),
  ('plain_loss', ', Plain(1.0)', ', Plain(7.0)'),
  ('plain_loss', 'self.scale * self', 'self.scale + self'),
  ('plain_loss', 'return z\n  @prop', 'return z**4\n  @prop'),
  ('plain_loss', 'return 0.5', 'return 0.6'),
  ('plain_loss', 'scale, 9.0', 'scale, 8.0'),
  ('bound', 'bound = Plain(1.0)', 'bound = Plain(7.0)'),
  ('bound', 'return z\n  @prop', 'return z**4\n  @prop'),
  ('joined', ', Plain(1.0)', ', Plain(7.0)'),
  ('joined', 'factor=4.0', 'factor=5.0'),
  ('joined', "create('multiscale')", "create('global')"),
])
def test_what_a_loss_reads_counts(load, tmp_path, name, old, new):
  assert SOURCE.count(old) == 1
  before = describe(load(SOURCE, tmp_path)[name])
  assert describe(load(SOURCE, tmp_path)[name]) == before
  found = load(SOURCE.replace('return 5', 'return 6'), tmp_path)[name]
  assert describe(found) == before
  assert describe(load(SOURCE.replace(old, new), tmp_path)[name]) != before


def test_modules_of_ones_own(tmp_path, monkeypatch):
  (tmp_path / 'my_package_of_losses').mkdir()
  (tmp_path / 'my_package_of_losses' / '__init__.py').write_text('from . import inner\n')
  source = 'import my_package_of_losses as mine\ndef loss(i, l, m):\n  return mine.inner.f(m)\n'
  monkeypatch.syspath_prepend(tmp_path)
  found = []
  for power in ('2', '3', '2'):
    text = f'import my_package_of_losses\ndef f(z):\n  return z ** {power} + len("{power}" * 9)\n'
    (tmp_path / 'my_package_of_losses' / 'inner.py').write_text(text)
    importlib.invalidate_caches()
    for name in [name for name in sys.modules if name.startswith('my_package_of_losses')]:
      monkeypatch.delitem(sys.modules, name)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    found.append(describe(from_file(source, tmp_path)['loss']))
    sys.dont_write_bytecode = before
  assert found[0] == found[2] != found[1]


def test_helpers_that_share_helpers_are_read_once(tmp_path):
  """24 functions that call each other: by paths, more than 2**24."""
  total = ' + '.join(f'f{n}(*z)' for n in range(24))
  source = '\n'.join(f'def f{n}(*z):\n  return {total}\n' for n in range(24))
  functions = from_file(source, tmp_path)
  assert describe(functions['f0']) != describe(functions['f1'])


def test_packages_count_by_name(tmp_path):
  source = 'from jax.nn import relu\ndef loss(i, l, m):\n  return relu(m)\n'
  before = describe(from_file(source, tmp_path)['loss'])
  assert describe(from_file(source, tmp_path)['loss']) == before
  other = source.replace('import relu', 'import gelu as relu')
  assert describe(from_file(other, tmp_path)['loss']) != before
