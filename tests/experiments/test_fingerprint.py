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
