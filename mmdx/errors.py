"""What mmdx raises when the input is wrong: one sentence a user can act on."""

from __future__ import annotations


class InputError(Exception):
    """A fault in what the user gave: says what was given, where, what is expected and how to mend it.

    The console commands print the sentence alone and exit with 1; from Python it is an ordinary exception.
    """


class SampleError(InputError):
    """A fault of one sample (an unreadable file, an empty label), which ``data.on_error=quarantine`` sets aside.

    Args:
        sample_id: the sample's id.
        file: the file it was found in.
        row: row of the manifest or table, counted from 1 without the header; None where there is none.
        message: the whole sentence, file and row included.
    """

    def __init__(self, message: str, *, sample_id: str = "", file: str = "", row: int | None = None) -> None:
        super().__init__(message)
        self.sample_id, self.file, self.row = sample_id, file, row

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (str(self), self.sample_id, self.file, self.row)


def _restore(message: str, sample_id: str, file: str, row: int | None) -> SampleError:
    return SampleError(message, sample_id=sample_id, file=file, row=row)
