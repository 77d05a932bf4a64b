"""Run by each Python that a test starts: hides packages that requirements.txt lacks, as on an operator's machine.

`tests/conftest.py` names this folder in PYTHONPATH, and the modules in HIDDEN_MODULES.
"""

import os
import sys
from importlib.abc import MetaPathFinder


class Hidden(MetaPathFinder):
    modules = frozenset(os.environ.get("HIDDEN_MODULES", "").split(","))

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname.partition(".")[0] in self.modules:
            raise ModuleNotFoundError(f"{fullname!r} is not in requirements.txt.", name=fullname)


sys.meta_path.insert(0, Hidden())
