"""Your own images, all labels that they have: the multiscale objective on a small network.

The layout of the folder and the further options stand in `multiscale_inversion/configs/folder.py`,
which this is.

    python -m experiments.main --config=experiments/folder.py --config.data.data_dir=DIR
"""

from multiscale_inversion.configs.folder import get_config

__all__ = ['get_config']
