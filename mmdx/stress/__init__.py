"""What needs the models of a finished run: missing and noisy modalities, uncertainty, explained cases."""
