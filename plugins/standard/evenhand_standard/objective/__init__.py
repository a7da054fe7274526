"""Plugins that change what a training optimises."""
