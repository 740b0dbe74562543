"Action-unit tables instead of films: series, summaries, and models that read them."

import lazy_loader  # names are loaded on first use

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
