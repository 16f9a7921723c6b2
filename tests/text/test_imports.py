"""The text wing stands on numpy alone."""

import subprocess
import sys


def test_text_wing_imports_neither_torch_nor_pyarrow() -> None:
    program = (
        "import sys, paribus.text.data, paribus.text.tokenizers; "
        "print(sorted({'torch', 'pyarrow', 'transformers', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
