"""`python -m ranvier`: the command line."""

from ranvier.cli.main import main

if __name__ == "__main__":
    main()
