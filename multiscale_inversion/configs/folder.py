"""Your own images, all labels that they have: the multiscale objective on a small network.

Not in the paper. Resnet2-32 (Table 1's network with the mean pooling of Tables 2 and 3), images of
32x32 pixels, 100 epochs, the recipe for few labels (`--config.recipe=paper` for the paper's).

    multiscale-inversion train --data=DIR

DIR holds PNG and JPEG files of any sizes, in a sub-folder a class and one for those without label:

    DIR/cat/1.jpg  DIR/dog/2.png  DIR/unlabeled/3.jpg

A share of the labeled images, `--config.data.test_fraction` (0.2 of each class, chosen by the
files' names, the same for all seeds), tests and is not trained on. Where DIR holds `train` and
`test` (or `Training` and `Testing`, ...), these say it, and `unlabeled` lies in `train` or beside
both:

    DIR/train/cat/1.jpg  DIR/train/unlabeled/3.jpg  DIR/test/cat/4.jpg

Or data_dir names a CSV file whose first line is `file,label` or `file,label,split`: paths, relative
ones from the CSV file's folder; labels, most of them empty (or -1); and train or test.

Further: --config.data.image_size=64, the edge in pixels; --config.data.channels=1 or 3 (unless
given, 1 if all images are grey); --config.data.num_labeled=40, to train on fewer of the labels; and
--config.data.note=pets, the name in tables. Images that cannot be read are named and skipped.
Afterwards: multiscale-inversion predict --workdir=runs/NAME IMAGE...
"""

from multiscale_inversion.runs import defaults


def get_config():
  """Return the configuration."""
  config = defaults.get_config()
  config.data.name = 'folder'
  config.network.name = 'resnet'
  config.network.blocks_per_group = 2
  config.network.width = 32
  config.recipe = 'few_labels'
  config.num_epochs = 100
  return config
