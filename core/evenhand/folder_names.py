"""Any folder may hold a model: no word about names that would matter only if its code were imported as a module."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

_LOGGER = "transformers.dynamic_module_utils"


@contextlib.contextmanager
def any_folder_name(*, trust_remote_code: bool) -> Iterator[None]:
    """Inside, transformers does not judge a folder's name as a Python module's, unless its code is to be run."""
    if trust_remote_code:
        yield
        return
    logger = logging.getLogger(_LOGGER)

    def others(record: logging.LogRecord) -> bool:  # one for each use, since uses are nested
        said = record.getMessage()
        return not (said.startswith("The module name ") and "Please rename the original module" in said)

    logger.addFilter(others)
    try:
        yield
    finally:
        logger.removeFilter(others)
