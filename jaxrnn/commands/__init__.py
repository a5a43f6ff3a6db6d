"""The commands `jaxrnn train`, `generate`, `score`, `verify`, `tokenize` and `studio`.

Each is a file of that name: a `Settings` dataclass, whose fields are the flags, and a `main`.  They
share `command_line.py` (flags, and errors in one line), `help_text.py` (what `--help` prints),
`progress.py` (bars), `output.py` (standard output that fails) and `compilation.py` (compile times,
and a cache of compiled programs).
"""

import sys

try:
    import tyro as tyro
except ModuleNotFoundError:  # only commands import this package
    print("error: the commands need `pip install 'jaxrnn[commands]'`", file=sys.stderr)
    raise SystemExit(2) from None
