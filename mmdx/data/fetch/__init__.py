"""Fetching public data sets: asked for once, resumed, checked, safely unpacked, and whole or absent."""
