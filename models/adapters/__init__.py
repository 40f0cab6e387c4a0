"""Adapters: other libraries' networks as models of ours, one module a family."""
