"""Processes that are forked from one which has imported everything and started nothing.

A small training takes ten seconds of processor time, three of them for imports.  Such a process is
that of `python -m MODULE` but for these: it has its environment, its signals and its end.
"""

import atexit
import functools
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time

IMPORTS = [
    "experiments.jaychou", "experiments.ptb", "experiments.time_machine", "jaxrnn.commands.train",
    "jaxrnn.commands.generate", "jaxrnn.commands.score", "jaxrnn.commands.tokenize",
    "jaxrnn.commands.verify", "matplotlib.figure", "optax", "orbax.checkpoint", "tensorboardX",
]  # fmt: skip


class Process:
    """A process under way, with what tests use of `subprocess.Popen`.

    Standard output goes to a pipe of text or to a file.
    """

    def __init__(self, module, arguments, cwd, environment, stdout=None):
        pipes = {name: os.pipe() for name in ("stdout", "stderr", "news")}
        request = {"argv": [module, *arguments], "cwd": str(cwd), "environment": dict(environment)}
        writers = [writer for _, writer in pipes.values()]
        descriptors = [stdout.fileno() if stdout else writers[0], *writers[1:]]
        socket.send_fds(_server(), [json.dumps(request).encode()], descriptors)
        for writer in writers:
            os.close(writer)
        readers = (reader for reader, _ in pipes.values())
        self.stdout, self.stderr, self._news = (os.fdopen(r, encoding="utf-8") for r in readers)
        self.pid = int(self._news.readline())
        self.returncode = None
        self._ended = threading.Thread(target=self._wait, daemon=True)
        self._ended.start()

    def _wait(self):
        self.returncode = os.waitstatus_to_exitcode(int(self._news.readline()))
        self._news.close()

    def poll(self):
        """The exit code, or None."""
        return self.returncode

    def wait(self, timeout=None):
        """The exit code; -n where signal n ended it."""
        self._ended.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return self.returncode

    def communicate(self, timeout=None):
        """(standard output, standard error), once both are over."""
        began, read = time.monotonic(), {}

        def read_all(name):
            read[name] = "" if (stream := getattr(self, name)).closed else stream.read()

        threads = [threading.Thread(target=read_all, args=[name]) for name in ("stdout", "stderr")]
        for thread in threads:
            thread.daemon = True
            thread.start()
        for thread in threads:
            thread.join(timeout and max(0, began + timeout - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        self.stdout.close()
        self.stderr.close()
        self.wait(timeout)
        return read["stdout"], read["stderr"]

    def send_signal(self, number):
        """Send it, unless the process is over."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self):
        """End it at once."""
        self.send_signal(signal.SIGKILL)


@functools.cache
def _server():
    """The socket to this worker's server, which ends when the worker does."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, __file__, str(its.fileno())]
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = os.pathsep.join([root, os.path.join(root, "tests")])
    environment = os.environ | {"PYTHONPATH": paths, "PYTHONWARNINGS": "default"}
    server = subprocess.Popen(command, env=environment, pass_fds=[its.fileno()])
    its.close()
    atexit.register(lambda: (ours.close(), server.wait()))
    return ours


def serve(requests):
    """Fork for each request; return the request in the process that is to meet it."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        content, descriptors, _, _ = socket.recv_fds(requests, 1 << 20, 3)
        if not content:
            sys.exit()
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            *streams, news = descriptors
            if child := os.fork():
                for stream in streams:
                    os.close(stream)
                os.write(news, f"{child}\n".encode())
                _, status = os.waitpid(child, 0)
                os.write(news, f"{status}\n".encode())
                os._exit(0)
            os.close(news)
            for number, stream in enumerate(streams, 1):
                os.dup2(stream, number)
                os.close(stream)
            return json.loads(content)
        for descriptor in descriptors:
            os.close(descriptor)


def become(request):
    """Take the folder and the variables of a request, those that JAX has read already included."""
    import jax

    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for name, value in os.environ.items():
        if name.startswith("JAX_") and name.lower() in jax.config.values:
            of_now = jax.config.values[name.lower()]
            kind = type(of_now) if of_now is not None else str
            jax.config.update(name.lower(), bool(int(value)) if kind is bool else kind(value))


if __name__ == "__main__":
    for name in IMPORTS:
        __import__(name)
    request = serve(socket.socket(fileno=int(sys.argv[1])))
    become(request)
    module, *sys.argv[1:] = request["argv"]
    sys.modules.pop(module, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
