"""Published results that a library of recurrent networks should reproduce on two CPU cores.

One result a file: its task, its recipe, the published number and where it stands.  `rows.py` is the
list of all, `row.py` what a row is, `data.py` finds data sets, `layers.py` holds layers that
several rows share, and `page.py` writes docs/museum.md from the numbers in `results/`.
"""
