"""``python -m everygrad``: the command."""

from everygrad.cli import main

if __name__ == "__main__":
    main()
