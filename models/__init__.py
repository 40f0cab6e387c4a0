"""Models of RealEar: separators, recognisers and enhancers behind one contract and one registry.

`create("wiener")` makes one; `models.base` says what it owes and keeps to. Importing this costs
little: libraries and weights are brought in by a model's `load()`.
"""

from models.base import Model
from models.registry import MODELS, create, fingerprint, record

__all__ = ["MODELS", "Model", "create", "fingerprint", "record"]
