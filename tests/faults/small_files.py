"""Run a command none of whose files may grow past so many bytes: a full disk, without one.

python small_files.py BYTES COMMAND ...
"""

import os
import resource
import sys

limit, *command = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
os.execv(command[0], command)
