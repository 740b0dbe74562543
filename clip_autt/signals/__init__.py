"Voice and body signals beside the frames: recordings, features, fusion with the face."

import lazy_loader  # names are loaded on first use

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
