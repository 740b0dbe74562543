"""Personalize vision-language models to one person at test time. Names are loaded on first use: importing is free."""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
