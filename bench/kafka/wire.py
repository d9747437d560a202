"""What the bench asks a broker itself, in Kafka's protocol, so that every contestant is looked at in the same way."""

import socket
import struct
import time


class Reader:
    """Takes an answer apart."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, form: str):
        value = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return value[0] if len(value) == 1 else value

    def text(self) -> str | None:
        return self.bytes(self.take("h"))

    def bytes(self, size: int) -> str | None:
        self.at += max(0, size)
        return self.data[self.at - size:self.at].decode() if size >= 0 else None

    def array(self):
        return range(max(0, self.take("i")))


def text(value: str) -> bytes:
    return struct.pack(">h", len(value.encode())) + value.encode()


def array(values) -> bytes:
    values = list(values)
    return struct.pack(">i", len(values)) + b"".join(values)


class Broker:
    """A connection to the only broker of a cluster."""

    def __init__(self, bootstrap: str):
        host, port = bootstrap.rsplit(":", 1)
        self.link = socket.create_connection((host, int(port)), timeout=30)
        self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers = self.link.makefile("rb")
        self.number = 0

    def call(self, key: int, version: int, body: bytes) -> Reader:
        self.number += 1
        head = struct.pack(">hhi", key, version, self.number) + text("bench")
        self.link.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
        (size,) = struct.unpack(">i", self.answers.read(4))
        answer = Reader(self.answers.read(size))
        if answer.take("i") != self.number:
            raise RuntimeError("an answer to another request")
        return answer

    def topics(self) -> dict[str, int]:
        """All topics and how many partitions each has."""
        answer = self.call(3, 1, struct.pack(">i", -1))
        for _ in answer.array():
            answer.take("i"), answer.text(), answer.take("i"), answer.text()
        answer.take("i")
        found = {}
        for _ in answer.array():
            error, name = answer.take("h"), answer.text()
            answer.take("b")
            partitions = 0
            for _ in answer.array():
                answer.take("hii")
                [answer.take("i") for _ in answer.array()], [answer.take("i") for _ in answer.array()]
                partitions += 1
            if error == 0:
                found[name] = partitions
        return found

    def create(self, topic: str, partitions: int, config: dict[str, str]) -> None:
        settings = array(text(k) + text(v) for k, v in config.items())
        answer = self.call(19, 2, array([text(topic) + struct.pack(">ihi", partitions, 1, 0) + settings]) + struct.pack(">ib", 30_000, 0))
        answer.take("i")
        for _ in answer.array():
            name, error, why = answer.text(), answer.take("h"), answer.text()
            if error:
                raise RuntimeError(f"the topic {name} was not made: {error} {why}")
        while None in self.offsets(topic, partitions):
            time.sleep(0.01)  # it leads them a moment later

    def delete(self, topics: list[str]) -> None:
        answer = self.call(20, 1, array(text(t) for t in topics) + struct.pack(">i", 30_000))
        answer.take("i")
        for _ in answer.array():
            name, error = answer.text(), answer.take("h")
            if error not in (0, 3):
                raise RuntimeError(f"the topic {name} was not deleted: {error}")

    def ends(self, topic: str, partitions: int, committed: bool = True) -> list[int]:
        """The offset behind what is committed, or written, of each partition; 0 where there is none."""
        return [offset or 0 for offset in self.offsets(topic, partitions, committed)]

    def settled(self, topic: str, partitions: int) -> bool:
        """Whether no transaction is open: its end is seen in each partition, and in a group's offsets, at another time."""
        return self.ends(topic, partitions) == self.ends(topic, partitions, committed=False)

    def offsets(self, topic: str, partitions: int, committed: bool = True) -> list[int | None]:
        wanted = array(struct.pack(">iq", p, -1) for p in range(partitions))
        answer = self.call(2, 2, struct.pack(">ib", -1, committed) + array([text(topic) + wanted]))
        answer.take("i")
        ends = {}
        for _ in answer.array():
            answer.text()
            for _ in answer.array():
                partition, error, _, offset = answer.take("ihqq")
                ends[partition] = offset if error == 0 else None
        return [ends.get(p) for p in range(partitions)]

    def committed(self, group: str, topic: str, partitions: int) -> list[int]:
        """The offsets that a group has committed."""
        wanted = array(struct.pack(">i", p) for p in range(partitions))
        answer = self.call(9, 1, text(group) + array([text(topic) + wanted]))
        offsets = {}
        for _ in answer.array():
            answer.text()
            for _ in answer.array():
                partition, offset = answer.take("iq")
                answer.text()
                offsets[partition] = max(0, offset) if answer.take("h") == 0 else 0
        return [offsets.get(p, 0) for p in range(partitions)]

    def count(self, topic: str, starts: list[int]) -> tuple[int, int]:
        """Committed items and their batches, counted by the batches' headers; what was aborted does not count."""
        ends = self.ends(topic, len(starts))
        counted = [self.count_of(topic, p, *span) for p, span in enumerate(zip(starts, ends))]
        return sum(items for items, _ in counted), sum(batches for _, batches in counted)

    def count_of(self, topic: str, partition: int, at: int, end: int) -> tuple[int, int]:
        items = batches = 0
        while at < end:
            body = struct.pack(">iiiib", -1, 1_000, 1, 64 << 20, 1) + array([text(topic) + array([struct.pack(">iqi", partition, at, 32 << 20)])])
            answer = self.call(1, 4, body)
            answer.take("i")
            for _ in answer.array():
                answer.text()
                for _ in answer.array():
                    _, error, _, _ = answer.take("ihqq")
                    if error:
                        raise RuntimeError(f"{topic} partition {partition} cannot be read: {error}")
                    aborted = sorted(((first, producer) for producer, first in (answer.take("qq") for _ in answer.array())), reverse=True)
                    found, at = count_batches(answer, answer.take("i"), aborted, at)
                    items, batches = items + sum(found), batches + len(found)
        return items, batches


def count_batches(answer: Reader, size: int, aborted: list, at: int) -> tuple[list[int], int]:
    """The items of each whole committed batch, and the offset behind the last one."""
    found, end, aborting = [], answer.at + max(0, size), set()
    begin = at
    while answer.at + 61 <= end:
        base, length = struct.unpack_from(">qi", answer.data, answer.at)
        if answer.at + 12 + length > end:
            break  # cut off
        attributes, delta, _, _, producer, _, _, count = struct.unpack_from(">hiqqqhii", answer.data, answer.at + 21)
        while aborted and aborted[-1][0] <= base:
            aborting.add(aborted.pop()[1])
        if attributes & 32:
            (kind,) = struct.unpack_from(">h", answer.data, answer.at + 61 + marker_key(answer.data, answer.at + 61))
            if kind == 0:
                aborting.discard(producer)
        elif base >= begin and not (attributes & 16 and producer in aborting):
            found.append(count)
        at = max(at, base + delta + 1)
        answer.at += 12 + length
    return found, at


def marker_key(data: bytes, record: int) -> int:
    """Where the kind of a marker is: behind its record's length, attributes, time, offset, length of key, and version."""
    at = record
    for skip in ("varint", "byte", "varint", "varint", "varint"):
        while skip == "varint" and data[at] & 128:
            at += 1
        at += 1
    return at + 2 - record
