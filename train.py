"""Train a model: python train.py +experiment=xray_text."""

from mmdx.commands.train import main

if __name__ == "__main__":
    main()
