"""Settings of a model that each request can choose for itself, in its `meta`."""

from evenhand.request_settings import offer, withdraw

__all__ = ["offer", "withdraw"]
