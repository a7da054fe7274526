"""`python -m evenhand` is `toolkit`; launchers such as `accelerate launch -m evenhand run` need it."""

from __future__ import annotations

from evenhand.cli import main

if __name__ == "__main__":
    main()
