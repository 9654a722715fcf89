"""The documentation site: `make docs` builds it to build/docs."""

import importlib
import re

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

import multiscale_inversion
from multiscale_inversion.version import __version__

project = 'multiscale_inversion'
author = 'the authors of multiscale_inversion'
release = __version__
html_title = f'{project} {release}'
html_theme = 'furo'
html_static_path = ['_static']
html_css_files = ['site.css']
html_show_copyright = False
html_show_sourcelink = False

extensions = [
  'myst_nb',
  'sphinx.ext.autodoc',
  'sphinx.ext.autosummary',
  'sphinx.ext.mathjax',
  'sphinx.ext.napoleon',
  'sphinx.ext.viewcode',
]
exclude_patterns = ['_static', 'figures']
default_role = 'code'
highlight_language = 'none'

myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 4
mathjax4_config = {'output': {'linebreaks': {'inline': False}}}  # tables scroll
nb_execution_mode = 'off'  # tests/test_notebooks.py runs them
# IPython's lines that begin with an exclamation mark are not Python.
suppress_warnings = ['misc.highlighting_failure']

maximum_signature_line_length = 88
autosummary_generate = False
autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
napoleon_custom_sections = [('Attributes', 'params_style')]
napoleon_use_rtype = False

# With `-n` each reference must resolve. The types of other packages have no inventory here (a build
# reads nothing from the network), and aliases of types are not documented one by one.
nitpick_ignore_regex = [
  ('py:.*', r'(jax|jaxlib|flax|numpy|optax|os|sklearn|ml_collections|collections|typing)\..*'),
  ('py:class', r'[\d.e+-]+|tuple\[int|mapping|ArrayTree|DenyList|RawBatch|.*\.Made|.*\.Skipped'),
]

# Pages that include a file from outside this folder: a link to the file leads to the page.
_INCLUDED = {
  '../README.md': 'index.md',
  '../CHANGELOG.md': 'changelog.md',
  '../CONTRIBUTING.md': 'contributing.md',
  '../multiscale_inversion/pretrained/mnist_50.md': 'pretrained.md#mnist_50',
  '../multiscale_inversion/pretrained/digits_50.md': 'pretrained.md#digits_50',
}
# Modules whose classes are named without the module, such as `BatchNorm`.
_EXTENDED = ('inversion', 'objectives', 'networks', 'nn', 'data', 'training')
# Docstrings are plain text with `code` and examples: what else reStructuredText takes for markup.
_MARKUP = re.compile(r'(`[^`]*`)|([|*\\]|_(?=\W|$))')

# `Annotated[type, range]`, and the arguments of every Flax module.
_ANNOTATED = re.compile(r'~?(?:typing\.|collections\.abc\.)?Annotated\[')
_OF_FLAX = re.compile(r',? \*?,? ?parent: .*(?=\)$)')

_OBJECT = re.compile(r'(?<==) ?<.*?>(?=, \w+: |\)$)')  # a default without a literal


def _link_pages(app, name, source):
  """Lead links to files that a page includes to that page."""
  del app, name
  for file, page in _INCLUDED.items():
    source[0] = source[0].replace(f']({file})', f']({page})')


def _escape(app, what, name, obj, options, lines):
  """Keep formulas such as ||z||^2 and names such as global_ as they are."""
  del app, what, name, obj, options
  example = False
  for index, line in enumerate(lines):
    example = bool(line.strip()) and (example or line.lstrip().startswith('>>> '))
    if not example:
      lines[index] = _MARKUP.sub(lambda match: match[1] or '\\' + match[2], line)


def _simplify(app, what, name, obj, options, signature, returned):
  """Leave out of a signature what a docstring says in words, and what Flax adds."""
  del app, what, name, obj, options
  if signature is None:
    return None
  while match := _ANNOTATED.search(signature):
    end, comma = _ends(signature, match.end())
    signature = signature[: match.start()] + signature[match.end() : comma] + signature[end + 1 :]
  return _OBJECT.sub(' ...', _OF_FLAX.sub('', signature)), returned


def _ends(text, start):
  """Return the places of the bracket that closes, and of the first comma before it."""
  depth, comma, quoted = 1, None, ''
  for place in range(start, len(text)):
    letter = text[place]
    if quoted or letter in '\'"':
      quoted = '' if letter == quoted else quoted or letter
    elif letter == ',' and depth == 1 and comma is None:
      comma = place
    else:
      depth += (letter in '[({') - (letter in '])}')
    if not depth:
      return place, comma
  raise ValueError(f'unbalanced: {text}')


def _skip_fields(app, what, name, obj, skip, options):
  """Leave out the fields of a named tuple, which its `Attributes` describe."""
  del app, what, name, options
  return True if (obj.__doc__ or '').startswith('Alias for field number') else skip


class LinkedCode(SphinxTransform):
  """Link code that names something of the reference, such as `losses.entropy`, to its entry.

  Pages and docstrings write names as plain code, which reads well everywhere. A name that the
  reference does not have stays code.
  """

  default_priority = 400

  def apply(self, **kwargs):
    """Replace each literal by a reference around it."""
    del kwargs
    for literal in list(self.document.findall(nodes.literal)):
      name = literal.astext().partition('(')[0].removeprefix('mi.')
      inside = isinstance(literal.parent, nodes.reference | addnodes.pending_xref)
      if inside or not re.fullmatch(r'[A-Za-z_][\w.]*', name):
        continue
      target = _public(name)
      if target:
        reference = addnodes.pending_xref(
          '', refdomain='py', reftype='obj', reftarget=target, refexplicit=True, is_guess=True
        )
        literal.replace_self(reference)
        reference += literal


def _public(name):
  """Return the full name of what the library exports under this one; None if nothing."""
  first, *rest = name.removeprefix('multiscale_inversion.').split('.')
  if first in multiscale_inversion.__all__ or first in _EXTENDED:
    return '.'.join([multiscale_inversion.__name__, first, *rest])
  home = first[:1].isupper() and next((m for m in _EXTENDED if hasattr(_module(m), first)), None)
  return '.'.join([_module(home).__name__, first, *rest]) if home else None


def _module(name):
  return importlib.import_module(f'{multiscale_inversion.__name__}.{name}')


def _keep_code(app, env, node, contents):
  """Leave a name that the reference does not have as it is."""
  del app, env
  return contents if node.get('is_guess') else None


def setup(app):
  """Register what is above."""
  app.connect('source-read', _link_pages)
  app.connect('autodoc-process-docstring', _escape, priority=400)  # before napoleon's markup
  app.connect('autodoc-process-signature', _simplify)
  app.connect('autodoc-skip-member', _skip_fields)
  app.connect('missing-reference', _keep_code)
  app.add_transform(LinkedCode)
  return {'parallel_read_safe': True, 'parallel_write_safe': True}
