"""Recipes make data: a recipe is planned into frozen rows, and a row renders to one clip.

A *plan* decides everything (who speaks, how loud, in which room) and holds no audio: its rows are
JSON, one a generated clip. *Rendering* is a pure function of the row and of the source signals that
it names, so a clip can be made anywhere, in any order, again. No Beam, no shards, no files in here.

This file imports nothing, so that `python -m pipelines.recipes.espeak` starts lean.
"""
