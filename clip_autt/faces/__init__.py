"People who do not exist, their tasks, and how the bundled model was made."

import lazy_loader  # names are loaded on first use

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
