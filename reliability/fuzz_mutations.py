"""What a stranger's file may hold: changes of data, of text and of bytes, drawn at random."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

ODD_TEXTS = (
    "", " ", "\n", "\t", "null", "no", "~", "0x10", "1e3", ".nan", "-", ".", "..", "../..", "/", "/etc/hostname", "~", "~nosuch/x",
    "./a\0b", "*", "**", "[a-", "a:b", "a@b", "a@b@c", "owner/name", "owner/name@rev", "@", "$role", "${HOME}", "{0.__class__}", "{",
    "}", "%s%n", "[bold]x[/bold]", "[/]", "[red", "<script>alert(1)</script>", "<think>", "</think>", "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07", "\x9b31m", "\r", "\x00", "\x7f", "\u202eabc", "\ufeff", "\ud800", "\udfff\ud800", "e\u0301", "\u00b2",
    "\u0661\u0662", "\u4f60\u597d", "\U0001f3f3\ufe0f\u200d\U0001f308", "\ufffe", "a" * 300, "ab " * 4000, "(a+)+$", "'", '"', "\\",
    "a,b", "a;b", "#", "en", "de", "EN", "xx", "en-", "zh-Hant", "english", "stop", "length", "user", "assistant", "system", "tool",
    "base", "same", "union", "auto", "float32",
)  # fmt: skip

ODD_NUMBERS = (
    0, 1, -1, 2, 3, 7, 255, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**40, 10**400, 0.0, -0.0, 0.5, 1.5, -0.1, 1e-320,
    1e308, math.inf, -math.inf, math.nan,
)  # fmt: skip

LARGEST = 1e308
"""Beyond, a whole number has no quotient."""


def odd_value(rng: Random) -> Any:
    """Draw something that is seldom meant."""
    kind = rng.randrange(10)
    if kind < 4:
        return rng.choice(ODD_TEXTS)
    if kind < 7:
        return rng.choice(ODD_NUMBERS)
    if kind < 8:
        return rng.choice([None, True, False])
    if kind < 9:
        return rng.choice([[], {}, [[]], [None], {"": ""}, {"use": "x"}, [1, "a"], {"a": {"b": 1}}, [{}], [[[[1]]]]])
    deep: Any = rng.choice([0, "x", None])
    for _ in range(rng.choice([5, 60, 150, 400])):
        deep = [deep] if rng.random() < 0.5 else {"a": deep}
    return deep


def mutated(value: Any, rng: Random, others: Sequence[Any] = ()) -> Any:
    """Change plain data in one to four places. others: data of the same kind, pieces of which are put in."""
    value = copied(value)
    for _ in range(rng.choice([1, 1, 1, 2, 2, 4])):
        value = _mutated_once(value, rng, others)
    return value


def copied(value: Any) -> Any:
    """Copy plain data."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


def _mutated_once(root: Any, rng: Random, others: Sequence[Any]) -> Any:
    places = list(_places(root))
    if not places:
        return odd_value(rng)
    holder, key = rng.choice(places)
    found = holder[key]
    kind = rng.randrange(14)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[_odd_key(key, rng)] = holder.pop(key) if rng.random() < 0.7 else copied(found)
    elif kind == 2 and isinstance(holder, list):
        holder.insert(rng.randint(0, len(holder)), copied(found))
    elif kind == 3:
        other, place = rng.choice(places)
        if place in other if isinstance(other, dict) else place < len(other):
            holder[key] = copied(other[place])
    elif kind == 4:
        holder[key] = [found] if rng.random() < 0.5 else {rng.choice(["use", "a", "value"]): found}
    elif kind == 5 and isinstance(found, (dict, list)) and found:
        holder[key] = rng.choice(list(found.values()) if isinstance(found, dict) else found)
    elif kind == 6 and others:
        whole = rng.choice(others)
        pieces = list(_places(whole))
        if pieces:
            other, place = rng.choice(pieces)
            if isinstance(holder, dict) and isinstance(other, dict) and rng.random() < 0.5:
                holder[place] = copied(other[place])
            else:
                holder[key] = copied(other[place])
    elif kind in (7, 8) and isinstance(found, str):
        holder[key] = mutated_text(found, rng)
    elif kind in (7, 8) and isinstance(found, (int, float)) and not isinstance(found, bool):
        third = found // 3 if abs(found) > LARGEST else found / 3
        holder[key] = rng.choice([found + 1, -found, found * 10, third, str(found), bool(found), [found]])
    elif kind == 9 and isinstance(holder, list):
        rng.shuffle(holder)
    elif kind == 10 and isinstance(holder, dict):
        holder[rng.choice(ODD_TEXTS)] = odd_value(rng)
    else:
        holder[key] = odd_value(rng)
    return root


def _places(value: Any) -> Any:
    if isinstance(value, dict):
        for key, item in value.items():
            yield value, key
            yield from _places(item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield value, index
            yield from _places(item)


def _odd_key(key: Any, rng: Random) -> str:
    return mutated_text(str(key), rng) if rng.random() < 0.7 else rng.choice(ODD_TEXTS)


def mutated_text(text: str, rng: Random) -> str:
    """Change a text in one place."""
    start = rng.randint(0, len(text))
    end = min(len(text), start + rng.choice([0, 1, 1, 3, 20]))
    kind = rng.randrange(6)
    if kind == 0:
        return text[:start] + text[end:]
    if kind == 1:
        return text[:start] + rng.choice(ODD_TEXTS) + text[end:]
    if kind == 2:
        return text[:start] + text[start:end] * rng.choice([2, 3, 100]) + text[end:]
    if kind == 3:
        return text[:start]
    if kind == 4:
        return text.swapcase()
    return (
        text[:start]
        + chr(rng.choice([0, 9, 10, 13, 27, 34, 39, 44, 58, 91, 123, 0x85, 0xE9, 0x2028, 0xFFFF, 0x1F600]))
        + text[end:]
    )


def mutated_bytes(data: bytes, rng: Random) -> bytes:
    """Change bytes: flips, cuts, repeats, zeros, another encoding."""
    made = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        start = rng.randint(0, len(made))
        end = min(len(made), start + rng.choice([1, 1, 2, 8, 100]))
        kind = rng.randrange(8)
        if kind == 0 and made:
            made[start % len(made)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del made[start:end]
        elif kind == 2:
            del made[start:]
        elif kind == 3:
            made[start:end] = bytes(end - start)
        elif kind == 4:
            made[start:start] = made[start:end] * rng.choice([1, 5])
        elif kind == 5:
            made[start:end] = rng.randbytes(end - start)
        elif kind == 6:
            made[start:start] = rng.choice(
                [b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xe9", b"\0", b"\r", b"\n\n", b"\x1b["]
            )
        elif rng.random() < 0.2:
            made[:] = (
                bytes(made).decode(errors="replace").encode(rng.choice(["latin-1", "utf-16", "utf-32"]), "replace")
            )
    return bytes(made)


def as_json(value: Any, rng: Random) -> str:
    """Write data as JSON, with half characters where it holds some; now and then with a key twice."""
    plain = rng.random() < 0.5 or _has_half_characters(value)
    text = json.dumps(value, ensure_ascii=plain, indent=rng.choice([None, None, 1]))
    if rng.random() < 0.03 and text.startswith("{") and len(text) > 2:
        text = (
            '{"'
            + rng.choice(list(value)[:5] or [""]).replace('"', "")
            + '": '
            + rng.choice(["1", "null", "[]"])
            + ", "
            + text[1:]
        )
        text = text if not _has_half_characters(text) else json.dumps(value)
    return text


def _has_half_characters(value: Any) -> bool:
    try:
        (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).encode()
    except UnicodeEncodeError:
        return True
    return False


TAGS = (
    "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!binary", "!!set", "!!omap", "!!pairs", "!!seq", "!!map", "!!str", "!!merge",
    "!custom", "!!python/object/apply:os.system", "!!python/name:os.system", "!!value", "!", "!<tag:x,1:y>",
)  # fmt: skip

SNIPPETS = (
    "<<: *a", "? [a, b]\n: 1", "? {a: 1}\n: 2", "&a", "*a", "*nosuch", "--- x", "...", "%YAML 1.1", "%TAG ! tag:x,1:", "key: key: key",
    "\tx: 1", "- - - -", "{", "[", "'", '"', "|", ">", "|+9", "? ", ": ", "0b2: 1", "1: 1", "1.5: 1", "null: 1", "true: 1",
    "\"\\ud800\": 1", "&x [*x]", "x: &x {y: *x}", "<<: {name: x}", "<<: [{a: 1}, {b: 2}]", "<<: 3", "!!set {a, b}", "x: 1\nx: 2",
    "x: 2001-12-14", "x: 0o777", "x: 1_000", "x: 190:20:30", "x: +.inf", "x: 12e03",
)  # fmt: skip


def mutated_yaml(text: str, rng: Random) -> str:
    """Change what YAML alone has: tags, anchors, merges, indentation, documents, keys twice."""
    lines = text.split("\n")
    place = rng.randrange(len(lines))
    line = lines[place]
    indent = line[: len(line) - len(line.lstrip())]
    kind = rng.randrange(9)
    if kind == 0:
        head, colon, rest = line.partition(":")
        lines[place] = f"{head}{colon} {rng.choice(TAGS)} {rest.strip()}"
    elif kind == 1:
        lines.insert(place, indent + rng.choice(SNIPPETS))
    elif kind == 2:
        lines.insert(place, line)
    elif kind == 3:
        del lines[place]
    elif kind == 4:
        lines[place] = rng.choice([" ", "  ", "\t"]) + line
    elif kind == 5:
        head, colon, rest = line.partition(":")
        lines[place] = f"{head}{colon} &a{rng.randrange(3)} {rest.strip()}"
        lines.insert(
            rng.randint(place, len(lines)), f"{indent}{rng.choice(['<<', 'other', 'use'])}: *a{rng.randrange(3)}"
        )
    elif kind == 6:
        lines.insert(place, indent + bomb(rng).replace("\n", f"\n{indent}"))
    elif kind == 7:
        head, colon, _ = line.partition(":")
        depth = rng.choice([50, 120, 3000])
        many = rng.choice(
            ["[" * depth, "{a: " * depth, "[" * depth + "]" * depth, "9" * 5000, "1." + "0" * 400, "a" * 70_000]
        )
        lines[place] = f"{head}{colon} {many}"
    else:
        lines[place] = mutated_text(line, rng)
    return "\n".join(lines)


def bomb(rng: Random) -> str:
    """A few lines whose aliases or merges stand for very much."""
    width, depth = rng.choice([(2, 4), (9, 3), (9, 9), (12, 12)])
    is_merge = rng.random() < 0.3
    lines = ["b0: &b0 {x: 1}" if is_merge else "b0: &b0 [x, x]"]
    for level in range(1, depth):
        inner = ", ".join([f"*b{level - 1}"] * width)
        lines.append(f"b{level}: &b{level} " + (f"{{<<: [{inner}]}}" if is_merge else f"[{inner}]"))
    return "\n".join(lines)


Mutation = Callable[[bytes, Random], bytes]
