"""Argument lists drawn from edge values, and one command run with such a list, watched."""

import itertools
import os
import runpy
import shutil
import sys
import time
from typing import NamedTuple

from called import begin, end
from subprocesses import module_of, programs_folder

NUMBERS = [
    "", "0", "-1", "1", "2", "3.5", "nan", "inf", "-inf", "1e39", "-1e39", "1e-39", "2147483648",
    "99999999999999999999", "1e400", "0x10", "１２", "-0", "None", "True", "ä", "--", "1_0", " 1",
]  # fmt: skip
TEXTS = ["", " ", "a", "分开", "\udcff", "a" * 5000, "\n", "-x", "--", "é́", "\u2028", "a\tb"]
PATHS = [
    "", ".", "..", "/", "~", "missing", "missing/deep", "tiny.txt", "tiny.txt/below", "pipe",
    "/dev/zero", "/dev/null", "/dev/full", "link-to-nowhere", "loop", "no.zip", "broken.zip",
    "empty.txt", "latin.txt", "a" * 300, "\udcff", "x\\y", "[a]", "run", "foreign", "tokens",
    "分开.txt", "a\nb",
]  # fmt: skip
"""Relative to the folder that `make_folder` makes."""

USES = ["best", "average", ""]

NETWORK = {
    "--cell": ["gru", "LSTM", ""], "--num-layers": NUMBERS, "--hidden-size": NUMBERS,
    "--embedding-size": NUMBERS, "--init": ["uniform", "x", ""], "--init-scale": NUMBERS,
    "--forget-gate-bias": NUMBERS, "--dropout": NUMBERS, "--embedding-dropout": NUMBERS,
    "--input-dropout": NUMBERS, "--output-dropout": NUMBERS, "--recurrent-dropout": NUMBERS,
    "--weight-drop": NUMBERS, "--zoneout": NUMBERS, "--dtype": ["bfloat16", "float64", ""],
}  # fmt: skip
TRAINING = NETWORK | {
    "--windows": ["sequential", ""], "--batch-size": NUMBERS, "--num-steps": NUMBERS,
    "--epochs": NUMBERS, "--optimizer": ["adam", "lbfgs", "", "chain", "__doc__", "noisy_sgd"],
    "--learning-rate": NUMBERS, "--decay": NUMBERS, "--decay-after": NUMBERS,
    "--max-grad-norm": NUMBERS, "--max-skipped": NUMBERS, "--seed": NUMBERS, "--devices": NUMBERS,
    "--parallel": ["pmap", ""], "--accumulate": NUMBERS, "--corpus": PATHS,
    "--random-offset": [None], "--random-lengths": [None], "--schedule": ["cosine", ""],
    "--warmup-steps": NUMBERS, "--weight-decay": NUMBERS, "--activation-penalty": NUMBERS,
    "--temporal-penalty": NUMBERS, "--average": NUMBERS, "--average-after": NUMBERS,
    "--unit": ["word", "byte", ""], "--keep-line-breaks": ["True", "False", "None", "x"],
    "--max-chars": NUMBERS, "--validation-chars": NUMBERS, "--held-out-chars": NUMBERS,
    "--prompts": TEXTS,
    "--sample-every": NUMBERS, "--sample-length": NUMBERS, "--out": PATHS, "--resume": [None],
    "--accept-changes": [None], "--save-every": NUMBERS, "--num-processes": NUMBERS,
    "--coordinator": ["", ":", "x", "a:b", "127.0.0.1:99999", "é:1"], "--process-id": NUMBERS,
    "--connect-seconds": NUMBERS, "--nonsense": TEXTS, "--tie-embeddings": [None],
    "--variational-dropout": [None], "--unigram-bias": [None], "--from": PATHS, "--from-use": USES,
    "--new-tokens": ["add", "unk", ""],
}  # fmt: skip
TINY = [
    "--corpus", "tiny.txt", "--hidden-size", "4", "--batch-size", "4", "--num-steps", "16",
    "--max-chars", "900", "--held-out-chars", "90", "--epochs", "1", "--sample-length", "3",
    "--out", "out",
]  # fmt: skip
COMMANDS = {
    "train": (TINY, TRAINING),
    "jaychou": ([*TINY, "--prompts", "ab"], TRAINING),
    "time_machine": (["gru", *TINY, "--prompts", "ab"], TRAINING),
    "generate": (["run", "--prompt", "ab"], {
        "--prompt": TEXTS, "--length": NUMBERS, "--temperature": NUMBERS, "--top-k": NUMBERS,
        "--top-p": NUMBERS, "--seed": NUMBERS, "--use": [*USES, "worst"], "": PATHS,
        "--allow-unknown": [None], "--stop": TEXTS, "--min-tokens": NUMBERS,
        "--samples": NUMBERS, "--json": [None],
    }),
    "score": (["run", "ab", "ba"], {
        "--use": USES, "--shuffle-test": [None], "--shuffles": NUMBERS, "--seed": NUMBERS,
        "": TEXTS, "--held-out": [None], "--dynamic": [None], "--dynamic-rates": NUMBERS,
        "--dynamic-decay": NUMBERS, "--dynamic-steps": NUMBERS, "--kneser-ney": NUMBERS,
        "--network-weight": NUMBERS,
    }),
    "verify": ([], {"": PATHS}),
    "tokenize": (["--text", "tiny.txt", "--out", "out"], {
        "--text": PATHS, "--out": PATHS, "--unit": ["word", ""],
    }),
    "gradients": (["--corpus", "tiny.txt", "--hidden-size", "4", "--epochs", "1", "--num-steps",
                   "12", "--truncate", "5", "--out", "out"], {
        "--corpus": PATHS, "--hidden-size": NUMBERS, "--epochs": NUMBERS, "--num-steps": NUMBERS,
        "--truncate": NUMBERS, "--seed": NUMBERS, "--out": PATHS,
    }),
    "sine": (["--windows", "4", "--steps", "2", "--latent-steps", "2", "--hidden-size", "2",
              "--out", "out"], {
        "--windows": NUMBERS, "--steps": NUMBERS, "--latent-steps": NUMBERS,
        "--hidden-size": NUMBERS, "--seed": NUMBERS, "--out": PATHS,
    }),
    "no_hidden_state": (["--corpus", "tiny.txt", "--max-chars", "900", "--held-out-chars", "90",
                         "--hidden-size", "2", "--epochs", "1", "--out", "out"], {
        "--corpus": PATHS, "--max-chars": NUMBERS, "--held-out-chars": NUMBERS, "--seed": NUMBERS,
        "--hidden-size": NUMBERS, "--epochs": NUMBERS, "--out": PATHS,
    }),
    "language_statistics": (["--corpus", "tiny.txt", "--unit", "character", "--out", "out"], {
        "--corpus": PATHS, "--unit": ["word", ""], "--held-out-share": NUMBERS, "--top": NUMBERS,
        "--run-dir": PATHS, "--out": PATHS,
    }),
}  # fmt: skip
"""The arguments that work, and what may be added; "" is an argument without a flag."""

WEIGHTS = {"train": 12, "jaychou": 2, "time_machine": 2, "generate": 6, "score": 4, "verify": 2,
           "tokenize": 3}  # fmt: skip
"""How often a command is drawn, as against the chapters' own."""


def draw(generator):
    """(command, arguments)."""
    name = generator.choices(list(COMMANDS), [WEIGHTS.get(name, 1) for name in COMMANDS])[0]
    arguments, edges = COMMANDS[name]
    arguments = list(arguments)
    if name == "generate" and generator.random() < 0.2:
        arguments = arguments[:1]
    if name == "score" and generator.random() < 0.5:
        arguments = ["run", "--held-out"]
    for _ in range(generator.choice([1, 1, 1, 2, 3])):
        flag = generator.choice(list(edges))
        value = generator.choice(edges[flag])
        arguments += [word for word in (flag or None, value) if word is not None]
    if generator.random() < 0.05:
        del arguments[generator.randrange(len(arguments))]
    return name, arguments


def make_folder(folder, run, tokens):
    """Make a folder to start a command in: texts, a run, and traps such as pipes."""
    folder.mkdir()
    (folder / "tiny.txt").write_text("abcd efgh\nhgfe dcba\n" * 60)
    (folder / "分开.txt").write_text("分开 不分开\n" * 200)
    (folder / "empty.txt").write_text("")
    (folder / "latin.txt").write_bytes("é".encode("latin-1") * 2000)
    (folder / "broken.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    os.mkfifo(folder / "pipe")
    (folder / "link-to-nowhere").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    (folder / "foreign" / "best" / "2024").mkdir(parents=True)
    (folder / "foreign" / "summary.json").write_text("mine")
    shutil.copytree(run, folder / "run")
    shutil.copytree(tokens, folder / "tokens")


def content_of(folder):
    """Each file, folder and link below a folder, with the bytes of files."""
    return {
        path: path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in sorted(folder.rglob("*"))
    }


class Ending(NamedTuple):
    """How a command ended."""

    code: int | None
    """None where it had to be killed."""
    seconds: float
    said: str
    complained: str
    opened: list[str]
    """What Python opened for writing, made, moved or deleted."""


def run_watched(name, arguments, folder, limit):
    """Run a command within a folder, in a process of its own."""
    began = time.monotonic()
    log = folder.with_name("log")
    for stream in ("out", "err", "opened"):
        log.with_suffix(f".{stream}").write_text("")
    call = (_run, name, arguments, str(folder), str(log))
    code, _ = end(begin(log.with_suffix(".call"), *call, JAX_NUM_CPU_DEVICES="8"), limit)
    seconds = time.monotonic() - began
    said, complained = (
        log.with_suffix(f".{stream}").read_bytes().decode("utf-8", "replace")
        for stream in ("out", "err")
    )
    opened = os.fsdecode(log.with_suffix(".opened").read_bytes())
    return Ending(code, seconds, said, complained, opened.splitlines())


def _run(name, arguments, folder, log):
    os.environ.pop("JAXRNN_DATA", None)
    os.environ["XDG_CACHE_HOME"] = cache_of(folder)
    os.environ["TMPDIR"] = folder + "-tmp"
    os.makedirs(folder + "-tmp", exist_ok=True)
    os.chdir(folder)
    for stream, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(f"{log}.{stream}", os.O_WRONLY | os.O_TRUNC), number)
    opened = os.open(f"{log}.opened", os.O_WRONLY | os.O_APPEND)

    def watch(event, details):
        if event == "open":
            path, _, flags = details
            if not (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
                return
        elif event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"):
            path = details[0]
            if event in ("os.remove", "os.rmdir") and details[-1] != -1:
                return  # within a folder that is being deleted, which is told by its own path
        else:
            return
        if isinstance(path, str | os.PathLike):
            os.write(opened, os.fsencode(os.path.abspath(path)).replace(b"\n", b"?") + b"\n")

    sys.addaudithook(watch)
    sys.argv = [name, *arguments]
    sys.path[:] = [path for path in sys.path if path]
    sys.modules.pop(module_of(name), None)
    runpy.run_module(module_of(name), run_name="__main__")


def cache_of(folder):
    """Return the cache that all lists share, so that not each has to compile native code."""
    return f"{os.path.dirname(folder)}/cache"


def outside(ending, folder, out):
    """Return what was opened for writing outside `out`, devices and caches."""
    own = os.path.abspath(folder / out).replace("\n", "?")
    fine = (own, f"{folder}/runs", cache_of(folder), f"{folder}-tmp", "/dev/", "/proc/")
    fine += (os.path.dirname(programs_folder()),)
    return [
        path
        for path in ending.opened
        if not (path == str(folder) or path.startswith(fine))
        and not own.startswith(f"{path}/")  # a folder that `out` lies in
        and "__pycache__" not in path
        and "matplotlib" not in path
    ]


def last_value(flag, arguments, default):
    """Return the value that a command takes for a flag."""
    values = [b for a, b in itertools.pairwise(arguments) if a == flag]
    return values[-1] if values else default
