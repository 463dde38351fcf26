"""Data cards: one source a data set (NAME.yaml), made into NAME.md for people and Croissant JSON-LD for programs, with counts from the data."""
