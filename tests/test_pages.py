"""The tables that the pages show are those of the committed result files."""

import pathlib
import shutil

import pytest

from benchmarks import tables
from experiments import report
from experiments.reporting.tables import renew
from multiscale_inversion.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]
PAGES = ['README.md', *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob('docs/*.md'))]


@pytest.fixture
def copied(tmp_path):
  """The pages, and the results where they look for them."""
  shutil.copy(ROOT / 'README.md', tmp_path)
  for folder in ('docs', 'results'):
    shutil.copytree(ROOT / folder, tmp_path / folder)
  return tmp_path


def test_tables_are_those_of_the_result_files(copied):
  renewed = 0
  for page in PAGES:
    try:
      report.update(str(copied / page))
    except UserError:  # no table there
      pass
    else:
      renewed += 1
    renewed += renew(str(copied / page), {'benchmark': tables.render})
    assert (copied / page).read_text() == (ROOT / page).read_text(), page
  assert renewed > 5
