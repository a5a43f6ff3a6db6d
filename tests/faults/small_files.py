"""Train, with files that cannot grow past so many bytes: a full disk, without one.

python -m faults.small_files BYTES ARGUMENTS OF jaxrnn.commands.train
"""

import resource
import runpy
import sys

limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.modules.pop("jaxrnn.commands.train", None)
runpy.run_module("jaxrnn.commands.train", run_name="__main__", alter_sys=True)
