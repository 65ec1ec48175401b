#!/usr/bin/env python3
"""Reads MAK files, versions 1 and 2; needs nothing but Python 3.8 (and zstdcat for .zst).

As a program:  read_mak.py FILE...      prints each record as a line of JSON; - is standard input
As a module:   for offset, tstype, ts, key, value, headers in read_mak.records("x.mak.gz"): ...

Written from docs/mak-v2.md; shares no code with kafkatos3.
"""
import base64
import gzip
import io
import json
import shutil
import struct
import subprocess
import sys
import threading
import zlib


class MakError(Exception):
    """The file is cut or corrupt; all good records came before this."""


def records(source):
    """Yields (offset, tstype, ts, key, value, headers) of a path or a binary file object.

    tstype is "create", "logappend" or None (then ts is None too); key and value are bytes or None;
    headers is a list of (name, value), names as bytes, values as bytes or None.
    """
    return open_mak(source)[1]


def open_mak(source):
    """Gives (header, records): the header's JSON as a dict, and what records() yields."""
    if isinstance(source, io.IOBase):
        raw = source if hasattr(source, "peek") else io.BufferedReader(source)
    else:
        raw = open(source, "rb")
    stream = Stream(unpacked(raw))
    magic = stream.take(4, "the magic")
    if magic == b"MAK\0":
        return open_v1(stream)
    if magic == b"MAK\2":
        return open_v2(stream)
    raise MakError("not a MAK file, or of a version that is not known here")


# ---------------------------------------------------------------- bytes

def unpacked(raw):
    magic = raw.peek(4)[:4]
    if magic[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=raw)
    # A zstd frame, or a skippable one.
    if magic == b"\x28\xb5\x2f\xfd" or (magic[:1] >= b"\x50" and magic[:1] <= b"\x5f"
                                         and magic[1:] == b"\x2a\x4d\x18"):
        return Zstdcat(raw)
    return raw


class Zstdcat:
    def __init__(self, raw):
        self.process = subprocess.Popen(["zstdcat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        threading.Thread(target=self.feed, args=(raw,), daemon=True).start()

    def feed(self, raw):
        try:
            with self.process.stdin as pipe:
                shutil.copyfileobj(raw, pipe)
        except BrokenPipeError:
            pass

    def read(self, size):
        data = self.process.stdout.read(size)
        if not data and self.process.wait() != 0:
            raise MakError("zstdcat could not unpack it")
        return data


class Stream:
    """Bytes with their position."""

    def __init__(self, source):
        self.source = source
        self.position = 0

    def read(self, size):
        """Up to size bytes, less only at the end; in steps, since a size may lie."""
        parts = []
        while size > 0:
            try:
                part = self.source.read(min(size, 1 << 20))
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise MakError("at byte %d: %s" % (self.position, error))
            if not part:
                break
            parts.append(part)
            size -= len(part)
            self.position += len(part)
        return b"".join(parts)

    def take(self, size, what):
        start = self.position
        data = self.read(size)
        if len(data) < size:
            raise MakError("cut short: %s at byte %d is not complete" % (what, start))
        return data


# ---------------------------------------------------------------- version 1

def open_v1(stream):
    head = b"\0" + stream.take(23, "the head")
    _last, end, length = struct.unpack(">QQQ", head)
    if 27 + length > end:
        raise MakError("the end pointer lies inside the head")
    header = parse_header(stream.take(length, "the header"))
    return header, records_v1(stream, end)


def records_v1(stream, end):
    def part():
        size, = struct.unpack(">Q", stream.take(8, "a record"))
        if size > end - stream.position:
            raise MakError("the record at byte %d goes beyond the end pointer" % start)
        return stream.take(size, "a record")

    while stream.position < end:
        start = stream.position
        key = part()
        value = part()
        if end - stream.position < 8:
            raise MakError("the record at byte %d goes beyond the end pointer" % start)
        offset, = struct.unpack(">Q", stream.take(8, "a record"))
        yield offset, None, None, key, value, []
    while stream.read(1 << 20):
        pass  # whatever follows; a packed file's checksum is at its end


def parse_header(text):
    try:
        header = json.loads(text.decode("utf-8"))
        header["topic"], header["partition"], header["startoffset"]
        return header
    except (ValueError, KeyError, TypeError) as error:
        raise MakError("the header does not read: %s" % error)


# ---------------------------------------------------------------- version 2

HEADER, RECORDS, FINISH, INDEX, META, END = 1, 2, 3, 4, 5, 6
TSTYPES = {0: None, 1: "create", 2: "logappend"}


def open_v2(stream):
    kind, position, payload = next(blocks(stream), (None, 4, b""))
    if kind != HEADER:
        raise MakError("the first block is not the header")
    header = parse_header(payload)
    return header, records_v2(stream, header["startoffset"])


def blocks(stream):
    """Yields (kind, position, payload) of each block, its CRC verified."""
    while True:
        position = stream.position
        start = stream.read(12)
        if not start:
            return
        if len(start) < 12:
            raise MakError("cut short: the block at byte %d is not complete" % position)
        kind, reserved, length, crc = struct.unpack(">B3sII", start)
        if kind == 0 or reserved != b"\0\0\0":
            raise MakError("no block begins at byte %d" % position)
        payload = stream.take(length, "the payload")
        if zlib.crc32(payload, zlib.crc32(start[:8])) != crc:
            raise MakError("the block at byte %d has a wrong checksum" % position)
        yield kind, position, payload


def records_v2(stream, start):
    expected, count, blind, finished = start, 0, False, False
    for kind, position, payload in blocks(stream):
        bad = MakError("the block at byte %d is corrupt, or out of order" % position)
        if kind == RECORDS:
            try:
                first, following, number, _low, _high, meta_length = struct.unpack_from(
                    ">QQIqqI", payload)
            except struct.error:
                raise bad
            joins = first == expected or (blind and first > expected)
            if finished or not joins or not first < following < 1 << 63:
                raise bad
            yield from block_records(payload, first, following, number, meta_length, bad)
            expected, count = following, count + number
        elif kind == FINISH:
            if finished or len(payload) < 44:
                raise bad
            following, total = struct.unpack_from(">QQ", payload)
            if following < expected or following == start or (total != count and not blind):
                raise bad
            finished = True
        elif kind == HEADER:
            raise bad
        elif kind not in (INDEX, META, END):
            print("passed over a block of kind %d at byte %d" % (kind, position), file=sys.stderr)
            blind = True
    if not finished:
        raise MakError("cut short at byte %d: the file has no finish block" % stream.position)


def block_records(payload, first, following, number, meta_length, bad):
    meta = Numbers(payload[40:40 + meta_length], bad)
    data = Numbers(payload[40 + meta_length:], bad)
    if len(meta.data) < meta_length:
        raise bad
    expected, time = first, 0
    for _ in range(number):
        flags = meta.byte()
        tstype = flags >> 4 & 3
        if flags & 0x80 or tstype == 3 or (flags & 0x40 and not tstype):
            raise bad
        offset = expected + (meta.varint() if flags & 1 else 0)
        if offset >= following:
            raise bad
        if tstype and not flags & 0x40:
            delta = meta.varint()
            time += delta >> 1 ^ -(delta & 1)
            time = (time + (1 << 63)) % (1 << 64) - (1 << 63)
        key_length = meta.varint() if flags & 2 else None
        value_length = meta.varint() if flags & 4 else None
        headers_length = meta.varint() if flags & 8 else 0
        key = None if key_length is None else data.take(key_length)
        value = None if value_length is None else data.take(value_length)
        headers = parse_headers(Numbers(data.take(headers_length), bad)) if headers_length else []
        yield offset, TSTYPES[tstype], time if tstype else None, key, value, headers
        expected = offset + 1
    if not meta.empty() or not data.empty():
        raise bad


def parse_headers(encoded):
    headers = []
    while not encoded.empty():
        name = encoded.take(encoded.varint())
        length = encoded.varint()
        headers.append((name, encoded.take(length - 1) if length else None))
    return headers


class Numbers:
    """Bytes from which varints and byte strings are taken off the front."""

    def __init__(self, data, bad):
        self.data, self.at, self.bad = data, 0, bad

    def empty(self):
        return self.at == len(self.data)

    def take(self, size):
        if size > len(self.data) - self.at:
            raise self.bad
        self.at += size
        return self.data[self.at - size:self.at]

    def byte(self):
        if self.at == len(self.data):
            raise self.bad
        self.at += 1
        return self.data[self.at - 1]

    def varint(self):
        value = self.byte()
        if value < 0x80:
            return value  # as most are
        value &= 0x7f
        for shift in range(7, 70, 7):
            byte = self.byte()
            value |= (byte & 0x7f) << shift
            if byte < 0x80 and value < 1 << 64:
                return value
        raise self.bad


# ---------------------------------------------------------------- printing

def as_json(header, record):
    """The record as kafkatos3_parse --json prints it."""
    offset, tstype, ts, key, value, headers = record
    line = {"topic": header["topic"], "partition": header["partition"], "offset": offset}
    if tstype:
        line.update(tstype=tstype, ts=ts)
    if headers:
        put(line, "headers", [part for header in headers for part in header])
    put(line, "key", key)
    put(line, "payload", value)
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def put(line, name, value):
    def convert(function):
        if isinstance(value, list):
            return [None if part is None else function(part) for part in value]
        return None if value is None else function(value)

    try:
        line[name] = convert(lambda part: part.decode("utf-8"))
    except UnicodeDecodeError:
        line[name + "_b64"] = convert(lambda part: base64.b64encode(part).decode("ascii"))


def main(names):
    out = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="\n")
    code = 0
    for name in names:
        try:
            header, found = open_mak(sys.stdin.buffer if name == "-" else name)
            for record in found:
                out.write(as_json(header, record) + "\n")
        except MakError as error:
            out.flush()
            print("read_mak.py: %s: %s" % (name, error), file=sys.stderr)
            code = code or 65
        except BrokenPipeError:
            raise
        except OSError as error:
            print("read_mak.py: %s" % error, file=sys.stderr)
            code = code or 66
    out.flush()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["-"]))
