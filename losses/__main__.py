"""`python -m losses` lists the losses; `python -m losses dice` shows the documentation of some of them."""

import inspect
import sys

from .names import function_of, table, terms_of


def main(names: list[str]) -> int:
    """Prints the catalogue, or the signature and documentation of each loss named; 2 if one is unknown."""
    if not names:
        print(table(), end="")
        return 0
    try:
        terms = [term for name in names for term in terms_of(name)]
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for term in terms:
        function = function_of(term)
        print(f"{term}{inspect.signature(function)}\n\n    {inspect.getdoc(function)}\n".replace("\n", "\n    "))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
