"""Tables of captions and labels, as Python, Excel or a Mac writes them."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from smalti.errors import OptionError
from smalti.files import text_of

LONGEST = 2**24  # characters of a field
SEPARATORS = ",;\t"


def read(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a .csv file: UTF-8, UTF-16 or Latin-1, commas, semicolons or tabs.

    What is missing at the end of a row is "", and names of files have / between their parts.

    Raises:
        OptionError: one of the columns is missing, or the table is none.
    """
    text = text_of(path.read_bytes())
    first = text.partition("\n")[0]
    csv.field_size_limit(LONGEST)
    try:
        table = csv.DictReader(
            io.StringIO(text, newline=""), delimiter=max(SEPARATORS, key=first.count)
        )
        if not set(columns) <= set(table.fieldnames or ()):
            raise OptionError(f"{path} has no columns {' and '.join(columns)} in its first line")
        rows = [{name: row[name] or "" for name in columns} for row in table]
    except csv.Error as cause:
        raise OptionError(f"{path} is no table that can be read: {cause}") from cause
    return [row | {"file": row["file"].replace("\\", "/")} for row in rows]
