"""The examples in docstrings, run."""

import doctest
import importlib
import pkgutil

import pytest

import multiscale_inversion


def _with_examples():
  found = []
  for info in pkgutil.walk_packages(multiscale_inversion.__path__, 'multiscale_inversion.'):
    module = importlib.import_module(info.name)
    tests = doctest.DocTestFinder(exclude_empty=True).find(module)
    found += [pytest.param(test, id=test.name) for test in tests if test.examples]
  return found


@pytest.mark.parametrize('test', _with_examples())
def test_example(test):
  report = []
  result = doctest.DocTestRunner().run(test, out=report.append)
  assert result.attempted and not result.failed, ''.join(report)


def test_there_are_examples():
  assert len(_with_examples()) >= 6
