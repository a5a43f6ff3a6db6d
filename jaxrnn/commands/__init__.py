"""The commands: `jaxrnn train`, `generate`, `score`, `verify` and `tokenize`."""

import sys

try:
    import tyro as tyro
except ModuleNotFoundError:  # whoever imports this is a command, and ends here
    print("error: the commands need `pip install 'jaxrnn[commands]'`", file=sys.stderr)
    raise SystemExit(2) from None
