"""All rows of the museum, in the order of the page."""

from experiments.museum import (
    counting,
    elnino,
    group,
    languages,
    memory,
    mnist1d,
    music,
    selective,
    vowels,
)
from experiments.museum.row import Row

ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        vowels.ROW,
        mnist1d.IN_ORDER,
        mnist1d.SHUFFLED,
        mnist1d.BOTH_WAYS,
        music.JSB,
        music.NOTTINGHAM,
        elnino.ROW,
        *memory.ROWS,
        *selective.ROWS,
        *counting.ROWS,
        group.ROW,
        *languages.ROWS,
    )
}
