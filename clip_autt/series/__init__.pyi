"Action-unit tables instead of films: series, summaries, and models that read them."

from .au_series import AUSeries as AUSeries
