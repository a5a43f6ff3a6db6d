"""Native CPU code for a whole sequence, generated from a cell's equations.

`source.py` writes the equations as C++, `build.py` compiles them with the loops of `loops.h`, and
`kernel.py` calls the result.  `choice.py` is the door: it says whether there is code for a cell,
and whether a program should use it.
"""
