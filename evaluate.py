"""Evaluate a finished run again: python evaluate.py run=FOLDER."""

from mmdx.commands.evaluate import main

if __name__ == "__main__":
    main()
