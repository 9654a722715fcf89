"""The defaults that every configuration here changes: see `multiscale_inversion.runs.defaults`."""

from multiscale_inversion.runs.defaults import get_config

__all__ = ['get_config']
