#!/usr/bin/env python3
# Over 400 lines because whoever verifies carries one file.
"""Verifies what a Picket box signed, offline, with nothing but a public key.

A second implementation of docs/ledger-format.md, written from that page and from public specifications, on the
libraries `cryptography` (Ed25519) and `cbor2` (CBOR). It shares no code with Picket.

    picket_verify.py --key NAME+ID+BASE64 [--chain FILE] [--auditor-key KEY] PATH...

A PATH is a segment, a .tlog-proof bundle, or a folder of segments, which must join without a gap. A key may also be
the name of a file that holds it. It is the first key of the log; a chain (keys.chain) leads from it to later ones. Exit code: 0 everything holds, 1 something does not, 2 nothing could be checked.
"""

import argparse
import base64
import binascii
import hashlib
import json
import os
import re
import sys
import unicodedata

try:
    import cbor2
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError as missing:
    print(f"not run: {missing}; pip install -r requirements.txt", file=sys.stderr)
    sys.exit(2)

MAX_SEGMENT = 16_777_216
MAX_SEGMENT_ENTRIES = 65_536
MAX_ENTRY = 262_144
MAX_NOTE = 65_536
MAX_BUNDLE = 423_252
MAX_CHAIN = 16_777_216
MAX_KEYS = 4_096
MAX_SIGNATURES = 64
MAX_PROOF = 64
NOTE_KEY, COSIGNER_KEY = 0x01, 0x04
ROTATION = 13
U32, U64, I64 = 1 << 32, 1 << 64, 1 << 63


class Bad(Exception):
    """The evidence does not hold; says where and why."""


class Usage(Exception):
    """Nothing could be checked: a bad key, no such file."""


def need(holds, why):
    if not holds:
        raise Bad(why)


# ---- hashes and the tree, RFC 9162 section 2.1 -----------------------------------------------------------------


def leaf_hash(entry):
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def append(frontier, size, leaf):
    """Appends a leaf hash to the frontier of a tree of `size` leaves."""
    node = leaf
    while size & 1:
        node = node_hash(frontier.pop(), node)
        size >>= 1
    frontier.append(node)


def root_of(frontier):
    if not frontier:
        return hashlib.sha256(b"").digest()
    root = frontier[-1]
    for peak in reversed(frontier[:-1]):
        root = node_hash(peak, root)
    return root


def check_inclusion(index, size, leaf, proof, root):
    need(index < size, f"the proof: entry {index} is not in a log of {size} entries")
    inner = (index ^ (size - 1)).bit_length()
    border = bin(index >> inner).count("1")
    need(len(proof) == inner + border, f"the proof has {len(proof)} hashes, {inner + border} belong there")
    node = leaf
    for level, sibling in enumerate(proof[:inner]):
        node = node_hash(sibling, node) if index >> level & 1 else node_hash(node, sibling)
    for sibling in proof[inner:]:
        node = node_hash(sibling, node)
    need(node == root, "the proof leads to another root than the checkpoint's")


# ---- texts -----------------------------------------------------------------------------------------------------


def from_base64(text):
    """Standard base64 in its one canonical form, or None."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        return None
    return data if base64.b64encode(data).decode() == text else None


def decimal(text):
    """A number below 2^64 in decimal without leading zeroes, or None."""
    if not re.fullmatch(r"0|[1-9][0-9]{0,19}", text, re.ASCII):
        return None
    number = int(text)
    return number if number < U64 else None


def is_control(character):
    return unicodedata.category(character) == "Cc"


def is_key_name(name):
    # str.isspace() and Unicode's White_Space differ in control characters alone, and those are refused anyway.
    bad = any(c == "+" or c.isspace() or is_control(c) for c in name)
    return 1 <= len(name.encode()) <= 256 and not bad


def utf8(data, what):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Bad(f"{what} is not UTF-8 at byte {error.start}") from None


# ---- Ed25519, verified strictly --------------------------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
# The y of the eight points of small order: 1, -1, 0 (twice), and those of order 8.
ORDER_8 = int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little")
SMALL_ORDER = {1, P - 1, 0, ORDER_8, P - ORDER_8}


def point_problem(encoded):
    """Why 32 bytes are not the canonical encoding of a point of large order, or None."""
    y = int.from_bytes(encoded, "little") & ((1 << 255) - 1)
    if y >= P:
        return "not the canonical encoding of its point"
    if y in SMALL_ORDER:
        return "of small order"
    # x^2 = (y^2 - 1) / (D y^2 + 1), which is a square exactly if the product is one.
    if pow((y * y - 1) * (D * y * y + 1), (P - 1) // 2, P) != 1:
        return "not a point of the curve"
    return None


class Key:
    """A public key: `name+id+base64(type ‖ 32 bytes)`."""

    def __init__(self, text, kind):
        parts = text.split("+", 2)
        if len(parts) != 3 or not is_key_name(parts[0]):
            raise Bad("not of the form name+id+base64")
        self.text, self.kind = text, kind
        self.name, key_id, encoded = parts
        data = from_base64(encoded)
        need(data is not None and len(data) == 33, "not 33 bytes in canonical base64")
        need(data[0] == kind, f"of type {data[0]}, not {kind}")
        self.raw = data[1:]
        problem = point_problem(self.raw)
        need(problem is None, problem)
        self.id = hashlib.sha256(self.name.encode() + b"\n" + data).digest()[:4]
        need(self.id.hex() == key_id, "the id does not fit the key")
        self.key = Ed25519PublicKey.from_public_bytes(self.raw)

    def verify(self, signature, message, what):
        """Strict: one form of R and S each, no small order, the equation without cofactor."""
        refusal = f"{what}: the signature by {self.name} does not verify"
        need(len(signature) == 64, f"{refusal}: it has {len(signature)} bytes, not 64")
        need(int.from_bytes(signature[32:], "little") < L, f"{refusal}: S is not below the order of the group")
        problem = point_problem(signature[:32])
        need(problem is None, f"{refusal}: R is {problem}")
        try:
            self.key.verify(signature, message)
        except InvalidSignature:
            raise Bad(refusal) from None


# ---- notes and checkpoints, C2SP signed-note and tlog-checkpoint -----------------------------------------------


class Checkpoint:
    """A checkpoint whose signature by `key` has been verified; the key's name is its origin."""

    def __init__(self, note, key, alone=False):
        need(len(note.encode()) <= MAX_NOTE, f"the checkpoint has more than {MAX_NOTE} bytes")
        need(not any(c < " " and c != "\n" for c in note), "the checkpoint has a control character")
        text, separator, lines = note.rpartition("\n\n")
        need(separator, "the checkpoint has no empty line before its signatures")
        need(lines.endswith("\n"), "the checkpoint's last signature line does not end")
        self.text = text + "\n"
        self.signatures = [self.signature_line(n, line) for n, line in enumerate(lines[:-1].split("\n"), 1)]
        need(len(self.signatures) <= MAX_SIGNATURES, f"the checkpoint has over {MAX_SIGNATURES} signatures")
        key.verify(self.signature_by(key), self.text.encode(), "the checkpoint")

        fields = text.split("\n")
        need(len(fields) >= 3, "the checkpoint has fewer than three lines")
        need(is_key_name(fields[0]), "the checkpoint's origin cannot be a key name")
        self.origin = fields[0]
        self.size = decimal(fields[1])
        need(self.size is not None, "the checkpoint's second line is not a size in decimal")
        self.root = from_base64(fields[2])
        need(self.root is not None and len(self.root) == 32, "the checkpoint's third line is not a hash in base64")
        need(all(fields[3:]), "the checkpoint has an empty extension line")
        need(self.origin == key.name, f"the checkpoint of {self.origin!r} is signed with the key of {key.name!r}")
        need(not alone or len(self.signatures) == 1, "the checkpoint has other signatures than the log's")

    @staticmethod
    def signature_line(number, line):
        where = f"the checkpoint's signature line {number}"
        need(line.startswith("— "), f"{where} does not start with an em dash and a space")
        name, separator, encoded = line[2:].partition(" ")
        need(separator and is_key_name(name), f"{where} has no key name")
        data = from_base64(encoded)
        need(data is not None, f"{where} is not in canonical base64")
        need(len(data) > 4, f"{where} has no signature behind the key id")
        return name, data[:4], data[4:]

    def signature_by(self, key):
        found = [data for name, key_id, data in self.signatures if (name, key_id) == (key.name, key.id)]
        need(found, f"the checkpoint has no signature by {key.name}+{key.id.hex()}")
        need(len(found) == 1, f"the checkpoint has two signatures by {key.name}+{key.id.hex()}")
        return found[0]

    def cosigned(self, auditor):
        """When the auditor cosigned, in seconds since 1970 (C2SP tlog-cosignature v1)."""
        data = self.signature_by(auditor)
        need(len(data) == 72, f"the cosignature by {auditor.name} has {len(data)} bytes, not 72")
        time = int.from_bytes(data[:8], "big")
        need(time < I64, f"the cosignature by {auditor.name} is of a time beyond 2^63")
        auditor.verify(data[8:], f"cosignature/v1\ntime {time}\n{self.text}".encode(), "the cosignature")
        return time


# ---- CBOR, RFC 8949 section 4.2.1 ------------------------------------------------------------------------------


def plain(value):
    """Unsigned and negative integers, byte and text strings, arrays, false, true and null; nothing else."""
    if isinstance(value, list):
        return all(plain(member) for member in value)
    if type(value) is int:
        return -U64 <= value < U64
    return value is None or type(value) in (bool, bytes, str)


def from_cbor(data, what):
    try:
        value = cbor2.loads(data)
        holds = plain(value) and cbor2.dumps(value, canonical=True) == data
    except Exception as error:  # The library has no one class for all that it refuses.
        raise Bad(f"{what} is not CBOR: {error}") from None
    need(holds, f"{what} is not deterministic CBOR of integers, strings, arrays, booleans and null")
    return value


# ---- the shapes of entries -------------------------------------------------------------------------------------
# Each is a function that takes a value and the name of its place, and raises Bad.


def uint(limit=U64, start=0):
    def check(value, at):
        need(type(value) is int and start <= value < limit, f"{at} is no integer from {start} to {limit - 1}")

    return check


def text(most, least=0, allowed=""):
    def check(value, at):
        need(type(value) is str, f"{at} is no text")
        need(least <= len(value.encode()) <= most, f"{at} does not have {least} to {most} bytes")
        need(not any(is_control(c) and c not in allowed for c in value), f"{at} has a control character")

    return check


def blob(length):
    def check(value, at):
        need(type(value) is bytes and len(value) == length, f"{at} is not {length} bytes")

    return check


def boolean(value, at):
    need(type(value) is bool, f"{at} is no boolean")


def one_of(*values):
    def check(value, at):
        need(type(value) is int and value in values, f"{at} is none of {values}")

    return check


def optional(shape):
    return lambda value, at: None if value is None else shape(value, at)


def many(shape, most):
    def check(value, at):
        need(type(value) is list and len(value) <= most, f"{at} is no array of at most {most}")
        for number, member in enumerate(value):
            shape(member, f"{at}[{number}]")

    return check


def record(*fields):
    def check(value, at):
        need(type(value) is list and len(value) == len(fields), f"{at} is no array of {len(fields)}")
        for member, (name, shape) in zip(value, fields):
            shape(member, f"{at}.{name}")

    return check


def span(value, at):
    record(("start", u32), ("end", u32))(value, at)
    need(value[0] <= value[1], f"{at} ends before it starts")


def tagged(shapes):
    """An array whose first member says which of several shapes it has."""

    def check(value, at):
        known = type(value) is list and value and type(value[0]) is int and value[0] in shapes
        need(known, f"{at} is of no known form")
        shapes[value[0]](value, at)

    return check


def verdict(value, at):
    verdict_fields(value, at)
    need(value[11] != 3 or value[14] is None, f"{at}: an output that was blocked cannot have been released")


def erase(value, at):
    record(("from", u64), ("to", u64), ("count", u64), ("reason", message))(value, at)
    start, end, count, _ = value
    need(start <= end, f"{at} ends before it starts")
    need(count <= end - start, f"{at} erases more payloads than invocations")


u32, u64, i64 = uint(U32), uint(), uint(I64, -I64)
digest, signature = blob(32), blob(64)
name, path, message = text(256, 1), text(1024), text(1024, allowed="\n\t")
document = text(65_536, allowed="\n\t\r")
decision, severity, part = one_of(0, 1, 2, 3), one_of(0, 1, 2, 3, 4), one_of(0, 1, 2, 3, 4)

finding = record(
    ("rule", name),
    ("severity", severity),
    ("message", message),
    ("part", optional(part)),
    ("path", path),
    ("span", optional(span)),
    ("score", optional(i64)),
)
guard_verdict = record(
    ("outcome", one_of(1)),
    ("decision", decision),
    ("digest", digest),
    ("findings", many(finding, 256)),
    ("omitted", u32),
)
guard_failure = record(
    ("outcome", one_of(2)), ("cause", one_of(1, 2, 3, 4, 5, 6)), ("message", message), ("action", one_of(0, 3))
)
guard_result = record(
    ("name", name),
    ("component", digest),
    ("settings", digest),
    ("mode", one_of(1, 2)),
    ("warm", boolean),
    ("outcome", tagged({1: guard_verdict, 2: guard_failure})),
)
verdict_fields = record(
    ("invocation", u64),
    ("inference_id", name),
    ("trace_id", optional(name)),
    ("inference_time_ms", optional(u64)),
    ("model", name),
    ("model_version", optional(name)),
    ("prompt_version", optional(name)),
    ("weights", optional(digest)),
    ("prompts", optional(digest)),
    ("features", optional(digest)),
    ("policy", digest),
    ("decision", decision),
    ("guards", many(guard_result, 64)),
    ("payload", digest),
    ("released", optional(digest)),
)
bars = many(record(("label", path), ("count", u64)), 256)
drift = record(
    ("detector", name),
    ("component", digest),
    ("settings", digest),
    ("reference", optional(digest)),
    ("model", name),
    ("stream", name),
    ("rule", name),
    ("opened", boolean),
    ("severity", severity),
    ("message", message),
    ("row", u64),
    ("since_row", optional(u64)),
    ("statistic", i64),
    ("threshold", i64),
    ("reference_bars", bars),
    ("current_bars", bars),
    ("state", digest),
)
provenance = record(
    ("name", name),
    ("version", text(256)),
    ("digest", digest),
    ("source", one_of(1, 2)),
    ("links", many(record(("relation", name), ("digest", digest)), 1024)),
    ("document", document),
)
guard_load_fields = record(
    ("name", name),
    ("component", digest),
    ("settings", digest),
    ("world", name),
    ("guard_version", name),
    ("bytes", u64),
    ("start", one_of(1, 2, 3)),
    ("signers", many(name, 16)),
    ("statement", optional(digest)),
    ("admitted", message),
)


def guard_load(value, at):
    guard_load_fields(value, at)
    need(value[8] is not None or not value[7], f"{at}: signers without a statement that they signed")


guard_event_fields = record(
    ("guard", optional(name)),
    ("event", one_of(1, 2, 3, 4)),
    ("component", optional(digest)),
    ("settings", optional(digest)),
    ("action", optional(one_of(0, 3))),
    ("message", message),
)


def guard_event(value, at):
    guard_event_fields(value, at)
    need((value[1] == 2) == (value[4] is not None), f"{at}: an open breaker allows or blocks, and nothing else does")


recovery = record(
    ("previous_size", u64),
    ("previous_root", digest),
    ("first_invocation", u64),
    ("clean", boolean),
    ("found", many(message, 64)),
    ("heads", many(record(("origin", name), ("size", u64), ("root", digest)), 8)),
)
time_anchor = tagged(
    {
        1: record(
            ("anchor", one_of(1)), ("cosigner", name), ("time", u64), ("size", u64), ("signature", digest)
        ),
        2: record(("anchor", one_of(2)), ("step_ms", i64)),
    }
)
incident = record(
    ("origin", name),
    ("kind", one_of(1, 2, 3, 4)),
    ("size", u64),
    ("root", digest),
    ("message", message),
    ("evidence", digest),
)
BODIES = {
    1: verdict,
    2: drift,
    **dict.fromkeys((3, 4, 5, 6, 7, 10), provenance),
    8: guard_load,
    9: record(("digest", digest), ("document", document)),
    11: record(("next_invocation", u64)),
    12: record(("count", u64), ("reason", message)),
    13: record(("epoch", u64), ("key", path), ("possession", signature)),
    14: erase,
    15: recovery,
    16: time_anchor,
    17: guard_event,
    18: record(("digest", digest), ("document", document)),
    32: incident,
    33: record(("origin", name), ("key", path)),
}


def check_entry(data, index):
    at = f"entry {index}"
    need(1 <= len(data) <= MAX_ENTRY, f"{at} has {len(data)} bytes, 1 to {MAX_ENTRY} are allowed")
    value = from_cbor(data, at)
    need(type(value) is list and len(value) == 8, f"{at} is no array of 8")
    version, kind, incarnation, own_index, wall_ms, monotonic_ns, boot, body = value
    need(type(version) is int and version == 1, f"{at} is of format version {version!r}, which is not known")
    need(type(kind) is int and kind in BODIES, f"{at} is of kind {kind!r}, which is not known")
    u32(incarnation, f"{at}: incarnation")
    for field, member in (("index", own_index), ("wall_ms", wall_ms), ("monotonic_ns", monotonic_ns)):
        u64(member, f"{at}: {field}")
    blob(16)(boot, f"{at}: boot")
    BODIES[kind](body, f"{at}: body")
    need(own_index == index, f"{at} says that it is entry {own_index}")
    return value


# ---- bundles, C2SP tlog-proof ----------------------------------------------------------------------------------

BUNDLE_HEADER = "c2sp.org/tlog-proof@v1"


class Bundle:
    """The proof of one entry, read and not yet verified."""

    def __init__(self, text):
        need(len(text.encode()) <= MAX_BUNDLE, f"the bundle has more than {MAX_BUNDLE} bytes")
        head, separator, self.note = text.partition("\n\n")
        need(separator, "the bundle has no empty line before its checkpoint")
        lines = head.split("\n")
        need(lines.pop(0) == BUNDLE_HEADER, "line 1 is not the header of a .tlog-proof")
        need(lines and lines[0].startswith("extra "), "the bundle does not hold the entry that it is about")
        self.entry = from_base64(lines.pop(0)[len("extra ") :])
        need(self.entry is not None, "line 2: the entry is not in canonical base64")
        need(lines and lines[0].startswith("index "), "line 3 is not `index` and a number")
        self.index = decimal(lines.pop(0)[len("index ") :])
        need(self.index is not None, "line 3 is not `index` and a decimal number")
        need(len(lines) <= MAX_PROOF, f"the proof has more than {MAX_PROOF} hashes")
        self.proof = [from_base64(line) for line in lines]
        for number, node in enumerate(self.proof, 4):
            need(node is not None and len(node) == 32, f"line {number} is not a hash in base64")

    def verify(self, keys):
        """The checkpoint that holds, and the entry, taken apart."""
        epoch = keys.epoch_of(self.index)
        checkpoint = Checkpoint(self.note, epoch.key)
        check_inclusion(self.index, checkpoint.size, leaf_hash(self.entry), self.proof, checkpoint.root)
        epoch.must_hold(self.index, checkpoint.size)
        return checkpoint, check_entry(self.entry, self.index)


# ---- epochs of keys --------------------------------------------------------------------------------------------


class Epoch:
    """A key, and the entries start <= index < end that it speaks for; `root` is that of the log below them."""

    def __init__(self, number, key, start, root):
        self.number, self.key, self.start, self.end, self.root = number, key, start, None, root

    def must_hold(self, first, size):
        ends = self.end is not None and size > self.end
        need(not ends, f"key {self.key.id.hex()} of epoch {self.number} does not speak for all of {first} to {size - 1}")


class Keys:
    """The keys of a log, from a first one that is trusted to the newest one that is known."""

    def __init__(self, key):
        self.epochs = [Epoch(0, key, 0, None)]

    def epoch_of(self, index):
        return max((epoch for epoch in self.epochs if epoch.start <= index), key=lambda epoch: epoch.start)

    def learn(self, index, entry, size, root):
        """From the verified rotation entry at `index` under a verified checkpoint of the current key."""
        current = self.epochs[-1]
        need(len(self.epochs) < MAX_KEYS, f"the log has more than {MAX_KEYS} keys")
        need(index >= current.start, f"the hand-over at {index} lies before the current epoch")
        need(entry[1] == ROTATION, f"entry {index} is no key rotation")
        need(size == index + 1, f"the rotation at {index} is not the last entry under its checkpoint of {size}")
        number, text, possession = entry[7]
        need(number == current.number + 1, f"the rotation at {index} is to epoch {number}, not {current.number + 1}")
        try:
            key = Key(text, NOTE_KEY)
        except Bad as bad:
            raise Bad(f"the new key of the rotation at {index}: {bad}") from None
        need(key.name == current.key.name, f"the rotation at {index} is to a key of another name")
        need(all(key.raw != epoch.key.raw for epoch in self.epochs), f"the rotation at {index} is to a key used before")
        lines = ["picket key rotation v1", key.name, number, index, current.key.text, key.text]
        statement = "".join(f"{line}\n" for line in lines)
        key.verify(possession, statement.encode(), f"the possession in the rotation at {index}")
        current.end = size
        self.epochs.append(Epoch(number, key, size, root))

    def read(self, text):
        """Follows a keys.chain from the first key."""
        need(len(text.encode()) <= MAX_CHAIN, f"the chain has more than {MAX_CHAIN} bytes")
        first, separator, rest = text.partition("\n")
        need(separator and first == self.epochs[0].key.text, "the first line of the chain is not the key that is trusted")
        before, *bundles = re.split(rf"(?m)^(?={re.escape(BUNDLE_HEADER)}$)", rest)
        need(not before, "line 2 of the chain is not the header of a .tlog-proof")
        for number, part in enumerate(bundles, 1):
            try:
                bundle = Bundle(part)
                need(bundle.index >= self.epochs[-1].start, f"entry {bundle.index} lies before the current epoch")
                checkpoint, entry = bundle.verify(self)
                self.learn(bundle.index, entry, checkpoint.size, checkpoint.root)
            except Bad as bad:
                raise Bad(f"hand-over {number} of the chain: {bad}") from None


# ---- segments --------------------------------------------------------------------------------------------------


class Segment:
    """A segment that has been verified; `after` is the frontier of the log behind it."""

    def __init__(self, data, keys):
        need(len(data) <= MAX_SEGMENT, f"the segment has more than {MAX_SEGMENT} bytes")
        need(data.startswith(b"\x87\x6epicket.segment"), "it does not start as a segment does, nor as a bundle")
        value = from_cbor(data, "the segment")
        need(type(value) is list and len(value) == 7, "the segment is no array of 7")
        _, version, origin, first, frontier, entries, note = value
        need(type(version) is int and version == 1, f"the segment is of format version {version!r}, which is not known")
        need(type(origin) is str and is_key_name(origin), "the segment's origin cannot be a key name")
        u64(first, "the segment's first index")
        need(type(frontier) is list, "the segment's frontier is no array")
        peaks = bin(first).count("1")
        need(len(frontier) == peaks, f"the frontier of a log of {first} entries has {peaks} hashes, not {len(frontier)}")
        for number, peak in enumerate(frontier):
            blob(32)(peak, f"the segment's frontier[{number}]")
        need(type(entries) is list and 1 <= len(entries) <= MAX_SEGMENT_ENTRIES, "no entries, or more than 65,536")
        self.first, self.end = first, first + len(entries)
        need(self.end < U64, "the segment ends beyond the largest log")
        for index, entry in enumerate(entries, first):
            need(type(entry) is bytes and 1 <= len(entry) <= MAX_ENTRY, f"entry {index} is not 1 to {MAX_ENTRY} bytes")
        need(type(note) is str, "the segment's checkpoint is no text")

        self.epoch = keys.epoch_of(first)
        self.epoch.must_hold(first, self.end)
        checkpoint = Checkpoint(note, self.epoch.key, alone=True)
        need(checkpoint.origin == origin, f"a segment of {origin!r} with a checkpoint of {checkpoint.origin!r}")
        need(
            checkpoint.size == self.end,
            f"the segment ends at size {self.end}, its checkpoint is of size {checkpoint.size}",
        )
        self.before, self.after = list(frontier), list(frontier)
        for index, entry in enumerate(entries, first):
            append(self.after, index, leaf_hash(entry))
        self.origin, self.root = origin, checkpoint.root
        need(root_of(self.after) == self.root, "the entries of the segment do not give the root of its checkpoint")
        if self.epoch.start == first and self.epoch.root is not None:
            need(
                root_of(self.before) == self.epoch.root,
                f"the segment continues another log of {first} entries than the one that was handed over",
            )
        for index, entry in enumerate(entries, first):
            self.last = check_entry(entry, index)
            ends = index + 1 == self.end and self.epoch.end in (None, self.end)
            need(ends or self.last[1] != ROTATION, f"entry {index} is a key rotation inside of the segment")


def verify_segment(data, keys):
    segment = Segment(data, keys)
    return {
        "what": "segment",
        "origin": segment.origin,
        "first": segment.first,
        "entries": segment.end - segment.first,
        "size": segment.end,
        "root": segment.root.hex(),
        "root_before": root_of(segment.before).hex(),
        "key": segment.epoch.key.text,
    }


def first_of(data):
    """Where a segment claims to start, to sort by; what cannot be read comes first, and is refused there."""
    try:
        first = cbor2.loads(data)[3]
        return first if type(first) is int else -1
    except Exception:
        return -1


def verify_folder(folder, keys):
    """Every *.segment in a folder: each holds, and each continues the one before without a gap.

    Hand-overs of keys are learned on the way, so that no chain is needed when the folder has them all.
    """
    names = sorted(name for name in os.listdir(folder) if name.endswith(".segment"))
    if not names:
        raise Usage(f"{folder}: no *.segment in it")
    names.sort(key=lambda file: first_of(read(os.path.join(folder, file))))
    begin = last = last_file = None
    for file in names:
        try:
            data = read(os.path.join(folder, file))
            segment = Segment(data, keys)
            sealed = re.fullmatch(r"([0-9]{20})-([0-9]{20})-([0-9a-f]{64})\.segment", file, re.ASCII)
            if sealed:
                found = (segment.first, segment.end, hashlib.sha256(data).hexdigest())
                said = (int(sealed[1]), int(sealed[2]), sealed[3])
                need(found == said, "its name says another range or digest than it has")
            if segment.last[1] == ROTATION and segment.end > keys.epochs[-1].start:
                keys.learn(segment.end - 1, segment.last, segment.end, segment.root)
        except Bad as bad:
            raise Bad(f"{file}: {bad}") from None
        if last is None:
            begin = segment
        else:
            need(segment.first <= last.end, f"GAP: entries {last.end} to {segment.first - 1} are missing before {file}")
            need(segment.first >= last.end, f"{file} and {last_file} overlap: both have entry {segment.first}")
            need(
                segment.before == last.after,
                f"FORK: {file} continues another log of {segment.first} entries than {last_file} ends with; keep both",
            )
        last, last_file = segment, file
    return {
        "what": "folder",
        "origin": last.origin,
        "first": begin.first,
        "entries": last.end - begin.first,
        "segments": len(names),
        "size": last.end,
        "root": last.root.hex(),
        "root_before": root_of(begin.before).hex(),
        "key": last.epoch.key.text,
    }


def verify_bundle(data, keys, auditor):
    bundle = Bundle(utf8(data, "the bundle"))
    checkpoint, _ = bundle.verify(keys)
    result = {
        "what": "bundle",
        "origin": checkpoint.origin,
        "first": bundle.index,
        "entries": 1,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "key": keys.epoch_of(bundle.index).key.text,
    }
    if auditor:
        result["received"] = checkpoint.cosigned(auditor)
    return result


# ---- the program -----------------------------------------------------------------------------------------------


def read(file):
    try:
        with open(file, "rb") as source:
            # One byte more than anything may have, so that what is too long is refused and never held whole.
            return source.read(MAX_SEGMENT + 1)
    except OSError as error:
        raise Usage(f"{file}: {error.strerror}") from None


def key_from(argument, kind):
    text = argument
    if os.path.isfile(argument):
        text = utf8(read(argument)[:4096], argument).rstrip("\r\n")
    try:
        return Key(text, kind)
    except Bad as bad:
        raise Usage(f"key {argument}: {bad}") from None


def keys_from(key, chain):
    keys = Keys(key)
    if chain:
        try:
            keys.read(utf8(read(chain), "the chain"))
        except Bad as bad:
            raise Usage(f"{chain}: {bad}") from None
    return keys


def verify(target, keys, auditor):
    if os.path.isdir(target):
        return verify_folder(target, keys)
    return verify_bytes(read(target), keys, auditor)


def verify_bytes(data, keys, auditor):
    if data.startswith(BUNDLE_HEADER.encode() + b"\n"):
        return verify_bundle(data, keys, auditor)
    return verify_segment(data, keys)


def tell(target, result, as_json):
    if as_json:
        print(json.dumps({"file": target, **result}))
    elif result["verified"]:
        first, last = result["first"], result["first"] + result["entries"] - 1
        entries = f"entry {last}" if first == last else f"entries {first} to {last}"
        print(f"VERIFIED {target}: {entries} of {result['origin']}")
        print(f"  under its checkpoint of {result['size']} entries, root {result['root']}")
        if result["what"] != "bundle" and first > 0:
            print(f"  continues a log of {first} entries with root {result['root_before']}, which is not checked here")
        print(f"  signed by {result['key']}")
        if "received" in result:
            print(f"  cosigned by the auditor {result['received']} seconds after 1970-01-01T00:00:00Z")
    else:
        print(f"NOT VERIFIED {target}: {result['message']}")


def main():
    parser = argparse.ArgumentParser(description="Verifies segments and .tlog-proof bundles of a Picket box, offline.")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a segment, a bundle, or a folder of segments")
    parser.add_argument("--key", required=True, help="the box's first public key, name+id+base64, or a file")
    parser.add_argument("--chain", metavar="FILE", help="keys.chain: leads from that key to those that replaced it")
    parser.add_argument("--auditor-key", help="the auditor's; its cosignature is then demanded of bundles")
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each PATH")
    arguments = parser.parse_args()
    # Names and messages may have what the terminal cannot show.
    sys.stdout.reconfigure(errors="backslashreplace")
    sys.stderr.reconfigure(errors="backslashreplace")
    code = 0
    try:
        key = key_from(arguments.key, NOTE_KEY)
        auditor = key_from(arguments.auditor_key, COSIGNER_KEY) if arguments.auditor_key else None
    except (Usage, Bad) as error:
        print(error, file=sys.stderr)
        return 2
    for target in arguments.paths:
        try:
            # A folder may teach the keys; each path starts from what was given.
            result = {"verified": True, **verify(target, keys_from(key, arguments.chain), auditor)}
        except Bad as bad:
            result = {"verified": False, "message": str(bad)}
            code = max(code, 1)
        except Usage as error:
            print(error, file=sys.stderr)
            code = 2
            continue
        tell(target, result, arguments.json)
    return code


if __name__ == "__main__":
    sys.exit(main())
