"""Shards on disk: WebDataset tars, their sidecars and index. No Beam in here."""
