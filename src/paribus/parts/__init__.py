"""The parts: one file each, by slot. Importing this package registers them all.

A new file in a slot's folder is found by itself; there is no list to keep.
"""

import importlib
import pkgutil

for _module in pkgutil.walk_packages(__path__, prefix=__name__ + "."):
    importlib.import_module(_module.name)
