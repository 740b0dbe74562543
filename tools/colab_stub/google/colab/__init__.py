"""Stands in for Colab's own package, which a kernel of Colab has loaded before the first cell runs."""
