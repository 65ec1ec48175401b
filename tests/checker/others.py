"""Reads Avro and JSON lines of an archive; shares no code with the product, nor with its MAK readers.

Written from docs/containers.md, docs/formats.md, the Avro specification and RFC 8259.
"""

import base64
import gzip
import json
import re
import subprocess
import zlib

TYPES = [None, "create", "logappend"]
META = re.compile(rb'\{[^{}]*"kind":"[a-z]+"[^{}]*\}')


class OtherError(Exception):
    """The file is not what it should be."""


def zstdcat(data):
    done = subprocess.run(["zstdcat"], input=data, stdout=subprocess.PIPE, check=True)
    return done.stdout


# ---------------------------------------------------------------- JSON lines

def line_metadata(path, data):
    """The metadata in the tail: as it is between gzip's members and zstd's frames, as white space in
    a plain file."""
    if path.suffix == ".jsonl":
        body = data.rstrip(b" \t\n")
        hidden = data[len(body):].rstrip(b"\n")
        bits = "".join("0" if byte == 0x20 else "1" for byte in hidden)
        data = int(bits, 2).to_bytes(len(bits) // 8, "big")
    found = META.findall(data)
    if not found:
        raise OtherError(f"{path.name} has no metadata")
    return json.loads(found[-1])


def lines(path, data, metadata):
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    elif path.suffix == ".zst":
        data = zstdcat(data)
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        said = json.loads(line)
        if (said["topic"], str(said["partition"])) != (metadata["topic"], metadata["partition"]):
            raise OtherError(f"{path.name} holds a line of {said['topic']}-{said['partition']}")
        yield (said["offset"], said.get("tstype"), said.get("ts"), part(said, "key"),
               part(said, "payload"), headers(said))


def part(said, name):
    if name + "_b64" in said:
        return base64.b64decode(said[name + "_b64"], validate=True)
    return None if said[name] is None else said[name].encode()


def headers(said):
    if "headers_b64" in said:
        parts = [None if p is None else base64.b64decode(p) for p in said["headers_b64"]]
    else:
        parts = [None if p is None else p.encode() for p in said.get("headers", [])]
    return list(zip(parts[::2], parts[1::2], strict=True))


# ---------------------------------------------------------------- Avro

class Cursor:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, size):
        if size < 0 or self.at + size > len(self.data):
            raise OtherError("Avro data end in the middle")
        self.at += size
        return self.data[self.at - size:self.at]

    def long(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)

    def bytes(self):
        return self.take(self.long())

    def optional(self):
        return self.bytes() if self.long() else None

    def array(self, item):
        found = []
        while count := self.long():
            if count < 0:
                self.long()
            found += [item() for _ in range(abs(count))]
        return found


def avro_header(cursor):
    if cursor.take(4) != b"Obj\1":
        raise OtherError("not an Avro file")
    pairs = cursor.array(lambda: (cursor.bytes().decode(), cursor.bytes()))
    return dict(pairs), cursor.take(16)


def avro_metadata(path, data):
    header, _ = avro_header(Cursor(data))
    ours = {key.removeprefix("kafkatos3."): value.decode() for key, value in header.items()
            if key.startswith("kafkatos3.")}
    if "kind" not in ours:
        raise OtherError(f"{path.name} has no metadata")
    return ours


def avro(data, metadata):
    cursor = Cursor(data)
    header, sync = avro_header(cursor)
    fields = [field["name"] for field in json.loads(header["avro.schema"])["fields"]]
    unpack = {
        b"null": lambda block: block,
        b"deflate": lambda block: zlib.decompress(block, -15),
        b"zstandard": zstdcat,
    }[header.get("avro.codec", b"null")]
    offset = int(metadata["start"])
    while cursor.at < len(data):
        count, block = cursor.long(), Cursor(unpack(cursor.bytes()))
        if cursor.take(16) != sync:
            raise OtherError("a block does not end with the sync marker")
        for _ in range(count):
            record = avro_record(block, fields, offset)
            yield record
            offset = record[0] + 1
        if block.at != len(block.data):
            raise OtherError("a block holds more than its records")


def avro_record(block, fields, offset):
    read = {
        "timestamp": block.long, "key": block.optional, "value": block.optional,
        "offset": block.long, "timestamp_type": lambda: TYPES[block.long()],
        "headers": lambda: block.array(lambda: (block.bytes(), block.optional())),
    }
    said = {field: read[field]() for field in fields}
    time = said["timestamp"]
    tstype = said.get("timestamp_type", None if time == -1 else "create")
    return (said.get("offset", offset), tstype, None if tstype is None else time, said["key"],
            said["value"], said.get("headers", []))


# ---------------------------------------------------------------- both

def metadata(path):
    """What the file says of itself."""
    data = path.read_bytes()
    return avro_metadata(path, data) if is_avro(path) else line_metadata(path, data)


def is_avro(path):
    """By its name: kafka_store's has no end."""
    return path.suffix in (".avro", "")


def open_file(path):
    """(header, records, finish) as check.open_file() gives them; all of them None for a seal."""
    said = metadata(path)
    data = path.read_bytes()
    found = avro(data, said) if is_avro(path) else lines(path, data, said)
    if said["kind"] != "data":
        if list(found):
            raise OtherError(f"{path.name} is a seal, but holds records")
        return None, None, None
    header = {"startoffset": int(said["start"])}
    if "gapfrom" in said:
        header |= {"gapfrom": int(said["gapfrom"]), "gapto": int(said["gapto"]),
                   "gapreason": said["gapreason"]}
    if not path.name.endswith("" if said["suffix"] == ".kafka_store" else said["suffix"]):
        raise OtherError(f"{path.name} says that it is a {said['suffix']}")
    if "totalrecords" not in said:
        raise OtherError(f"{path.name} has no running totals")
    return header, found, lambda: (int(said["next"]), int(said["records"]))
