"""Plugins that change the model itself."""
