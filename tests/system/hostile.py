#!/usr/bin/env python3
"""What a member gets from a peer that is broken, or worse. Frames of ZMTP 3.1 (rfc.zeromq.org/spec/37), NULL mechanism.

    hostile.py record FILE SECONDS PORT     what goes to PORT here, from connections that begin meanwhile
    hostile.py attack FILE SECONDS ADDRESS PORT [SEED]
        send it random bytes, and what was recorded: again, in another order, cut short. Says how many of each.
"""
import os
import random
import socket
import struct
import sys
import time

GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
MESSAGE_MAX = 1 << 20


def frames(stream):
    """The messages of one recorded connection: what follows greeting and handshake, without commands."""
    at = len(GREETING)
    while at + 2 <= len(stream):
        flags = stream[at]
        if flags & 2:
            if at + 9 > len(stream):
                return
            size, head = struct.unpack(">Q", stream[at + 1 : at + 9])[0], 9
        else:
            size, head = stream[at + 1], 2
        body = stream[at + head : at + head + size]
        if len(body) < size:
            return
        if not flags & 4:
            yield body
        at += head + size


def record(path, seconds, port):
    flows = {}
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    raw.settimeout(0.2)
    end = time.monotonic() + seconds
    while time.monotonic() < end and not os.path.exists(path + ".stop"):
        try:
            packet, where = raw.recvfrom(70000)
        except socket.timeout:
            continue
        ip = packet[14:]
        if where[2] == socket.PACKET_OUTGOING or ip[9] != 6:
            continue
        tcp = ip[(ip[0] & 15) * 4 : struct.unpack(">H", ip[2:4])[0]]
        if struct.unpack(">H", tcp[2:4])[0] != port:
            continue
        sequence = struct.unpack(">I", tcp[4:8])[0]
        flow = (ip[12:16], tcp[0:2])
        if tcp[13] & 2:
            flows[flow] = [sequence + 1, {}]
        elif flow in flows:
            flows[flow][1][(sequence - flows[flow][0]) % 2**32] = tcp[(tcp[12] >> 4) * 4 :]
    with open(path, "wb") as out:
        for _, parts in flows.values():
            stream = b""
            for offset in sorted(parts):
                if offset > len(stream):
                    break  # a part was not seen
                stream += parts[offset][len(stream) - offset :]
            for body in frames(stream):
                if len(body) <= MESSAGE_MAX:
                    out.write(struct.pack(">I", len(body)) + body)


def recorded(path):
    messages = []
    with open(path, "rb") as source:
        while len(size := source.read(4)) == 4:
            messages.append(source.read(struct.unpack(">I", size)[0]))
    return messages


def packed(body, flags=0):
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | 2]) + struct.pack(">Q", len(body)) + body


def connected(address, port):
    s = socket.create_connection((address, port), timeout=5)
    ready = b"\x05READY" + b"\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
    s.sendall(GREETING + packed(ready, 4))
    s.recv(4096)
    return s


class Attack:
    def __init__(self, address, port, messages, seed):
        self.to, self.messages, self.chance = (address, port), messages, random.Random(seed)
        self.counts = {}
        self.dealer = None

    def count(self, what, n=1):
        self.counts[what] = self.counts.get(what, 0) + n

    def noise(self):
        return self.chance.randbytes(self.chance.choice((0, 1, 2, 16, 200, 5000)))

    def send(self, what, bodies):
        if not self.dealer:
            self.dealer = connected(*self.to)
        self.dealer.sendall(b"".join(packed(b) for b in bodies))
        self.count(what, len(bodies))

    def bytes_of_no_protocol(self):
        with socket.create_connection(self.to, timeout=5) as s:
            s.sendall(self.noise())
        self.count("connections of noise")

    def a_handshake_of_noise(self):
        with socket.create_connection(self.to, timeout=5) as s:
            s.sendall(GREETING + packed(self.noise(), 4))
        self.count("handshakes of noise")

    def a_frame_that_does_not_end(self):
        s = connected(*self.to)
        s.sendall(b"\x02" + struct.pack(">Q", self.chance.choice((2**63, 2**40, 10**7))) + self.noise())
        s.close()
        self.count("frames without end")

    def a_message_of_parts(self):
        s = connected(*self.to)
        s.sendall(packed(self.noise(), 1) * 50 + packed(self.noise()))
        s.close()
        self.count("messages of many parts")

    def random_messages(self):
        self.send("random", [self.noise() for _ in range(20)])

    def repeated(self):
        at = self.chance.randrange(len(self.messages))
        self.send("repeated", self.messages[at : at + 50])

    def reordered(self):
        self.send("reordered", self.chance.sample(self.messages, min(50, len(self.messages))))

    def truncated(self):
        some = self.chance.sample(self.messages, min(50, len(self.messages)))
        self.send("truncated", [m[: self.chance.randrange(len(m) or 1)] for m in some])

    def run(self, seconds):
        ways = [self.random_messages, self.repeated, self.reordered, self.truncated] * 4 + [
            self.bytes_of_no_protocol, self.a_handshake_of_noise, self.a_frame_that_does_not_end, self.a_message_of_parts]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                self.chance.choice(ways)()
            except OSError:
                self.dealer = None  # it closed the connection, as it may
                self.count("connections closed by it")
            time.sleep(0.005)
        print(", ".join(f"{n} {what}" for what, n in sorted(self.counts.items())))


def main(what, path, seconds, *rest):
    if what == "record":
        record(path, float(seconds), int(rest[0]))
    else:
        messages = recorded(path)
        if len(messages) < 100:
            sys.exit(f"only {len(messages)} messages were recorded")
        Attack(rest[0], int(rest[1]), messages, int(rest[2]) if len(rest) > 2 else 1).run(float(seconds))


main(*sys.argv[1:])
