"""Plugins that change what a model learns from."""
