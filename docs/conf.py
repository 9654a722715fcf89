"""The documentation site: `make docs` builds it to build/docs."""

import re

from multiscale_inversion.version import __version__

project = 'multiscale_inversion'
author = 'the authors of multiscale_inversion'
release = __version__
html_title = f'{project} {release}'
html_theme = 'furo'
html_static_path = ['_static']
html_css_files = ['site.css']
html_show_copyright = False

extensions = [
    'myst_nb',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
]
myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 3
nb_execution_mode = 'off'  # tests/test_notebooks.py runs them
default_role = 'code'
suppress_warnings = ['misc.highlighting_failure']  # shell commands in notebooks
autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
autodoc_class_signature = 'separated'  # attributes say what a constructor takes
napoleon_use_ivar = True
napoleon_use_rtype = False

# What reStructuredText would read as markup: docstrings are plain text with `code`.
_MARKUP = re.compile(r'(`[^`]*`)|([|*]|_(?=\W|$))')


def _escape(app, what, name, obj, options, lines):
  """Keep formulas such as ||z||^2 and names such as global_ as they are."""
  for index, line in enumerate(lines):
    directive = line.lstrip().startswith(('.. ', ':'))
    lines[index] = line if directive else _MARKUP.sub(_escaped, line)


def _escaped(match):
  return match[1] or '\\' + match[2]


def setup(app):
  """Register the hook, before napoleon's, which makes markup of the sections."""
  app.connect('autodoc-process-docstring', _escape, priority=400)
