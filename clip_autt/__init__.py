"""Personalize vision-language models to one person at test time."""

import os

import lazy_loader  # names are loaded on first use, so importing costs nothing

# PyTorch reads it when it is loaded. Threads that spin while they wait are many times slower beside other programs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
