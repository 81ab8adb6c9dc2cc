"""`python -m neurolatent`, which torchrun can start."""

from neurolatent.cli import main

if __name__ == "__main__":
    main()
