"""`python -m vtrial` is the `vtrial` command."""

from vtrial.cli import main

if __name__ == "__main__":
    main()
