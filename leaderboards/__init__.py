"""Leaderboards: score tables in, boards out, in a terminal, as files, as a page and in MLflow."""
