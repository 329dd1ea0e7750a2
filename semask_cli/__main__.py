"""`python -m semask_cli`, for torchrun."""

from semask_cli.cli import main

if __name__ == "__main__":
    main()
