"""Models made worse on purpose, as controls: none of them is meant to be fairer."""
