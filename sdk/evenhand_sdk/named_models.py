"""Models that a plugin's options name, found as `[model]` is: shelf, folder, hub cache, hub, wheel."""

from evenhand.named_models import model_folder

__all__ = ["model_folder"]
