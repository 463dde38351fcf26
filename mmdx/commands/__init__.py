"""The commands; each file is also a script, which distributed training starts again for every process."""
