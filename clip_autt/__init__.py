"""Personalize vision-language models to one person at test time."""

import lazy_loader  # names are loaded on first use, so importing costs nothing

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
