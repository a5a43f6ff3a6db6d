"""Native CPU code for a whole sequence, generated from a cell's equations.

`source.py` writes the equations as C++, `build.py` compiles them with the loops of `loops.h`, and
`kernel.py` calls the result.  `linear_source.py`, `linear_loops.h` and `linear_kernel.py` do the
same for linear cells; `linear.py` serves only their recurrence, where that is not possible.
`choice.py` is the door: it says whether there is code for a cell, and whether a program should use
it.
"""
