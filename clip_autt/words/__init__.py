"Faces told in words: sentences for action units and signals, zero-shot answers, language models."

import lazy_loader  # names are loaded on first use

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
