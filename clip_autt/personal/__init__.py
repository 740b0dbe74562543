"This library's method: a personal baseline and a personal threshold. Names are loaded on first use."

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
