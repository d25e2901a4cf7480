"""Sound files made unsound: bytes exchanged, cut, repeated and spliced, values of JSON replaced by others."""

import json
from random import Random
from typing import Any

PICKLES = (
    b"\x80\x02cposix\nsystem\nX\x0e\x00\x00\x00touch was-here\x85R.",
    b"\x80\x02cbuiltins\nexec\nX\x1d\x00\x00\x00import os; os.mkdir('was-here')\x85R.",
    b"cos\nmkdir\n(S'was-here'\ntR.",
    b"\x80\x02]r\xff\xff\xff\x0f.",
)
"""Pickles that run something, or ask for much memory, in an ordinary unpickler."""

BYTES = (
    *PICKLES,
    b"", b"\0", b"\xff" * 8, b"\0" * 8, b"\x7f" + b"\xff" * 7, b"[" * 5000, b"\n", b"\r\n", b"\x1b[2J", b"../", b"NaN",
    b"%!PS-Adobe-3.0 EPSF-3.0\n", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n", "\u202e".encode(), b"\xed\xa0\x80", b"\xc0\xaf",
)  # fmt: skip

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, -(10**400), 1e308, 1e20, -0.0, 0.5, float("nan"), float("inf"),
    "", "x", "²", "1", "\ud800", "\0", "\x1b]0;title\x07", "../../x", "/etc/passwd", "/dev/zero", "~nobody-here/x",
    "=1+1", "<script>alert(1)</script>", "${oc.env:HOME}", "n" * 300, "a/" * 3000, "2026-01-01T00:00:00",
    "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00", [], {}, [[]], [None], {"": 0}, [1, "a"], {"a": {"b": []}},
)  # fmt: skip


def mutated(random: Random, sound: bytes) -> bytes:
    """``sound`` with one to four changes."""
    content = sound
    for _ in range(random.randint(1, 4)):
        content = _in_json(random, content) if random.random() < 0.6 else _in_bytes(random, content)
    return content


def _in_bytes(random: Random, content: bytes) -> bytes:
    start = random.randint(0, len(content))
    stop = min(len(content), start + random.choice((0, 1, 2, 8, 64, 4096)))
    kind = random.randrange(6)
    if kind == 0:
        return content[:start]
    if kind == 1:
        return content[:start] + content[stop:]
    if kind == 2:
        return content[:start] + random.choice(BYTES) + content[stop:]
    if kind == 3:
        return content[:stop] + content[start:stop] * random.randint(1, 3) + content[stop:]
    if kind == 4:
        return random.choice(BYTES) + content[start:]
    return content[:start] + random.randbytes(stop - start) + content[stop:]


def _in_json(random: Random, content: bytes) -> bytes:
    """One value of a JSON text exchanged, doubled or taken away; bytes of anything else."""
    try:
        value = json.loads(content)
        return json.dumps(_changed(random, value)).encode()
    except (ValueError, RecursionError):
        return _in_bytes(random, content)


def _changed(random: Random, value: Any) -> Any:
    if not isinstance(value, dict | list) or not value or random.random() < 0.1:
        return random.choice(VALUES)
    key: Any = random.choice(list(value)) if isinstance(value, dict) else random.randrange(len(value))
    if random.random() < 0.6:
        value[key] = _changed(random, value[key])
        return value
    kind = random.randrange(3)
    if kind == 0:
        del value[key]
    elif kind == 1 and isinstance(value, list):
        value.append(value[key])
    elif kind == 1 and isinstance(value, dict):
        value[random.choice(("x", "", "\ud800", "__class__", f"{key} "))] = value[key]
    else:
        value[key] = random.choice(VALUES)
    return value
