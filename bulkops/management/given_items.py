"""The items that a command is given: a file, standard input, or files that are the items themselves."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from bulkops import batches, inputs, uploaded_files
from bulkops.exceptions import ColumnsMissing
from bulkops.management.terminal import WrongUse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bulkops.operation import Operation


@contextmanager
def input_of(options: Mapping[str, Any], operation: Operation) -> Iterator[tuple[Iterable[Any] | None, str, str]]:
    """The items, what their input is called, and the batch that they are. Raises WrongUse, InputError."""
    choice = choice_of(options)
    if not options["files"]:
        with items_of(options["items"], operation, choice) as (items, name):
            yield items, name, ""
        return
    if not operation.takes_files:
        raise WrongUse(f"{operation.name} takes no files")
    if options["items"] is not None or options["format"] is not None:
        raise WrongUse("give --files or --items, not both")
    batch = uploaded_files.Batch()
    try:
        for path in map(Path, options["files"]):
            with _opened(path) as file:
                batch.add(path.name, file)
        batch.keep()
        yield batch.items, batch.items[0]["name"] if len(batch.items) == 1 else f"{len(batch.items):,} files", batch.id
    finally:
        # A job that was recorded took the batch; a dry run, or a refusal, leaves it.
        batches.give_up(batch.id)


def choice_of(options: Mapping[str, Any]) -> inputs.Choice:
    """What the options say about the input. Raises WrongUse."""
    if options["items"] is None and (options["columns"] or options["encoding"]):
        raise WrongUse("--map and --encoding speak of the file that --items names")
    if options["format"] is not None and options["items"] != "-":
        raise WrongUse("--format is for `--items -`; a file's name says what it is")
    columns: dict[str, str] = {}
    for pair in options["columns"]:
        # A column's name may hold an equals sign; a field's cannot.
        column, equals, field = pair.rpartition("=")
        if not equals or not column or not field:
            raise WrongUse(f"a mapping reads COLUMN=FIELD, not “{pair}”")
        columns[column] = field
    return inputs.Choice(format=options["format"] or "", encoding=options["encoding"] or "", columns=columns)


@contextmanager
def hinted() -> Iterator[None]:
    """Adds to a complaint about missing columns how to say which they are."""
    try:
        yield
    except ColumnsMissing as missing:
        options = " ".join(f'--map "COLUMN={name}"' for name in missing.missing[:3])
        raise WrongUse(f"{missing.message} To say which one it is: {options}") from None


@contextmanager
def items_of(
    source: str | None, operation: Operation, choice: inputs.Choice
) -> Iterator[tuple[inputs.Items | None, str]]:
    """The items that were given, open for reading, and what their input is called. Raises WrongUse, InputError."""
    if source is None:
        yield None, ""
    elif source == "-":
        yield _read(sys.stdin.buffer, "stdin.txt", operation, choice), "standard input"
    else:
        with _opened(Path(source)) as file:
            yield _read(file, Path(source).name, operation, choice), Path(source).name


def _read(file: IO[bytes], name: str, operation: Operation, choice: inputs.Choice) -> inputs.Items:
    items = inputs.read_file(file, name, operation, choice)
    if choice.columns and items.reading.format != "csv":
        raise WrongUse("--map is for CSV, whose columns have names")
    return items


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise WrongUse(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
