"""Markdown tables, printed row by row."""


def print_head(*names: str) -> None:
    """Print the names of the columns and the line below."""
    print_row(*names)
    print("|---" * len(names) + "|", flush=True)


def print_row(*cells: object) -> None:
    """Print one row."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)
