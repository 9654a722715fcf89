"""Runnable comparisons; each prints its result as JSON."""
