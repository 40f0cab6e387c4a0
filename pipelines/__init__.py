"""Data in motion: corpora to shards, shards to predictions, to scores, to a board.

The only package that knows files, Beam and the command line. See ARCHITECTURE.md for its rooms.
"""

__version__ = "0.1.0"
