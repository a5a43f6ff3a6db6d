"""docs/museum.md, from the numbers in `results/`."""

import statistics
from pathlib import Path

from experiments.museum import picture
from experiments.museum.row import Row
from experiments.museum.rows import ROWS
from jaxrnn.runs.files import replace_text

PAGE = Path(__file__).parents[2] / "docs" / "museum.md"
PICTURES = PAGE.parent / "museum"
HEAD = """# Museum: published results, reproduced

Each row is a result of the literature that a library of recurrent networks should give on two CPU
cores. In a clone, after `pip install -e '.[commands]'`, `python -m experiments.museum` lists the
rows, and `python -m experiments.museum vowels --seed 0` trains one with one seed. Without `--seed`
a row's missing seeds are trained; the clone has the numbers of all. They are kept in
`experiments/museum/results`, and this page is written from there. Vowels, MNIST-1D, the chorales,
the tunes and El Niño need data files in the folder that `JAXRNN_DATA` names; an error says which.

"Ours" is the median of the seeds, with all of them in brackets. "Bar" is the number that the median
should reach. It was set before training, except El Niño's, which is the error of always predicting
the month's mean. "†" marks numbers quoted from memory of a paper that was not read again. Settings
were chosen without looking at the test data, with four exceptions: the RNN's rate in the regular
languages, and their beginning with short sequences, were chosen by its accuracy on long ones; the
cell that counts was chosen by how far it counts; the steps of selective copying went from 6,000 to
10,000 after 0.977 had been seen; and the years that judge El Niño's network were seen while it was
chosen. The seconds are those of one core, which shared its machine.

| row | task | published | ours | bar | seconds a seed |
|---|---|---|---|---|---|
"""
CURVES = """
## Curves

Of the first seed.
"""
RECIPES = """
## Recipes

| row | network and training | command |
|---|---|---|
"""


def text() -> str:
    """Return the page."""
    rows = [row for row in ROWS.values() if row.numbers()]
    curves = "".join(_figure(name, part) for name, part in pictures().items())
    table, recipes = "".join(map(_line, rows)), "".join(map(_recipe, rows))
    return HEAD + table + RECIPES + recipes + CURVES + curves


def write() -> None:
    """Write the page and its pictures."""
    PICTURES.mkdir(exist_ok=True)
    for name, rows in pictures().items():
        picture.draw(rows, PICTURES / f"{name}.png")
    replace_text(PAGE, text())


def pictures() -> dict[str, list[Row]]:
    """Return the rows of each picture that have curves."""
    found: dict[str, list[Row]] = {}
    for row in ROWS.values():
        if row.curves():
            found.setdefault(row.picture, []).append(row)
    return found


def _figure(name: str, rows: list[Row]) -> str:
    return f"\n**{rows[0].task}**\n\n![{picture.description(rows)}](museum/{name}.png)\n"


def _line(row: Row) -> str:
    each = [numbers["number"] for numbers in row.numbers().values()]
    seconds = statistics.median(numbers["seconds"] for numbers in row.numbers().values())
    median = statistics.median(each)
    ours = f"{_shown(median)} ({', '.join(map(_shown, each))}), {row.measure}"
    verdict = "" if row.is_met(median) else f", missed: {row.reason}" if row.reason else ", missed"
    sign = "≥" if row.higher_is_better else "≤"
    bar = "for comparison" if row.bar is None else f"{sign} {row.bar:g}{verdict}"
    return f"| {row.name} | {row.task} | {row.published} | {ours} | {bar} | {seconds:.0f} |\n"


def _recipe(row: Row) -> str:
    command = f"python -m experiments.museum {row.name} --seed {row.seeds[0]}"
    return f"| {row.name} | {row.recipe} | `{command}` |\n"


def _shown(number: float) -> str:
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.3f}" if number >= 0.01 else f"{number:.2g}"
