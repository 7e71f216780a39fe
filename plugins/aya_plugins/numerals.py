"""Numbers in running text, in the digits and the punctuation of any language."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

SEPARATORS = ".,'’٫٬\u00a0\u202f\u2009"  # ٫ is the Arabic decimal mark, ٬ groups thousands, as thin spaces do
_SPACES = re.compile("['’٬\u00a0\u202f\u2009]")
# \d knows every script. A dash after a digit or a cased letter is no sign ("3-5", "GPT-4"), after others it
# is ("是-5").
NUMBER = re.compile(rf"(?:(?<![\dA-Za-zÀ-ɏͰ-ӿ])[-−+])?\d+(?:[{SEPARATORS}]\d+)*")


def last_number(text: str) -> frozenset[Decimal]:
    """Return the values that the last number of a text may mean; none if it holds no number.

    A lone point or comma before exactly three digits may group thousands or open a fraction: "1.234" has two
    readings. The last number stands for the answer, as is usual in scoring chains of thought.
    """
    found = NUMBER.findall(text)
    return readings(found[-1]) if found else frozenset()


def readings(numeral: str) -> frozenset[Decimal]:
    """Return the values that one numeral may mean."""
    plain = "".join(str(unicodedata.decimal(mark, mark)) for mark in numeral)
    plain = _SPACES.sub("", plain.replace("−", "-").replace("٫", "."))
    marks = [mark for mark in plain if mark in ".,"]
    if not marks:
        return frozenset({Decimal(plain)})
    whole, _, fraction = plain.rpartition(marks[-1])
    grouped = plain.replace(".", "").replace(",", "")
    as_fraction = Decimal(f"{whole.replace('.', '').replace(',', '')}.{fraction}")
    if marks.count(marks[-1]) > 1:  # 1.234.567
        return frozenset({Decimal(grouped)})
    if len(marks) == 1 and len(fraction) == 3 and "٫" not in numeral:
        return frozenset({Decimal(grouped), as_fraction})
    return frozenset({as_fraction})
