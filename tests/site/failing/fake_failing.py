"""Cannot be imported."""

from __future__ import annotations

import a_library_nobody_has

NeverImports = a_library_nobody_has.Plugin
