"""Whether the library `adapters` can be imported: it pins transformers 4.57, so that there is nothing to test on 5."""

from __future__ import annotations

import pytest

try:
    import adapters  # noqa: F401
except ImportError as error:
    MISSING = f"the library `adapters` cannot be imported: {error}"
else:
    MISSING = ""

needs_adapters = pytest.mark.skipif(bool(MISSING), reason=MISSING)
