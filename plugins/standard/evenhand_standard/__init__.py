"""The standard plugins of evenhand; modules are found through entry points, none is imported here."""
