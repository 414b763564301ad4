"""The host's end of the serial link, for any task: docs/link.md, version 3.

    python3 tests/own_task/link.py localhost:4321     # or a serial port: /dev/ttyACM0
    python3 tests/own_task/link.py --self-test

The first prints what the device drives. Needs only Python's standard library. Serial ports need
Linux or macOS.
"""

import io
import os
import re
import secrets
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

VERSION = 3
# Longer than a plan takes. A device gives its host up after 1 s of silence, so a lost request has
# to come again before that.
TIMEOUT_S = 0.4
MAX_ATTEMPTS = 100
# Messages other than its answer that are read per request.
MAX_OTHERS = 10 * MAX_ATTEMPTS
# More bytes than this without a zero are noise.
MAX_FRAME_LEN = 1 << 20

# Variants of messages and refusals.
HELLO, BEGIN, OBSERVE, _, DESCRIBE = range(5)
HELLO_ANSWER, BEGUN, ACTION, _, REFUSED, EVENT, VALUE = range(7)
_, DAMAGED, NO_SESSION, OUT_OF_SEQUENCE, NO_EPISODE, _, _, BUSY = range(8)
REFUSALS = [
    f"it speaks version {{}} of the link, this program version {VERSION}",
    "damaged",
    "no session",
    "expected request {}",
    "no episode",
    "another number of values, or one that is not finite",
    "no such value",
    "another program drives it",
    "it has no place for another model",
    "a slot has {} bytes",
    "a plan has {} bytes of RAM",
    "plans have at most {} observations and {} actions",
    "its task has {} and {} values",
    "no model file",
    "its flash can't be written",
    "nothing was offered",
]
STARTS = ["power or pin", "watchdog", "panic", "hard fault at {:#x}", "stack overflow at {:#x}"]


class LinkError(Exception):
    """The conversation with the device cannot go on."""


class Forgotten(LinkError):
    """The device has lost the session or the episode: say hello and begin the episode anew."""


class BadFrame(Exception):
    """The bytes between two zeros are no message."""


class Hello(NamedTuple):
    """What a device says about itself."""

    board: str
    model_crc32c: int
    obs_dim: int
    action_dim: int
    n_obs_steps: int
    n_action_steps: int
    task: str
    # Where the model is from: nothing for the device's image, else a slot and an upload's number.
    source: tuple[int, int] | None


def crc32c(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return struct.pack("<I", crc ^ 0xFFFFFFFF)


def stuff(data: bytes) -> bytes:
    """COBS: blocks of a length and the bytes behind it; a length below 255 implies a zero."""
    stuffed = bytearray()
    for piece in data.split(b"\0"):
        while len(piece) >= 254:
            stuffed += b"\xff" + piece[:254]
            piece = piece[254:]
        stuffed += bytes([len(piece) + 1]) + piece
    return bytes(stuffed)


def unstuff(stuffed: bytes) -> bytes:
    data = bytearray()
    at = 0
    while at < len(stuffed):
        length = stuffed[at]
        data += stuffed[at + 1 : at + length]
        at += length
        # The zero behind the last block is not part of the data.
        if length < 255 and at < len(stuffed):
            data.append(0)
    if at != len(stuffed):
        raise BadFrame("a block is cut off")
    return bytes(data)


def frame_of(payload: bytes) -> bytes:
    return stuff(payload + crc32c(payload)) + b"\0"


def payload_of(stuffed: bytes) -> bytes:
    checked = unstuff(stuffed)
    if crc32c(checked[:-4]) != checked[-4:]:
        raise BadFrame("the checksum is another")
    return checked[:-4]


def printable(text: str) -> str:
    """Text without what a terminal would obey: escapes and changes of direction."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def varints(*values: int) -> bytes:
    encoded = bytearray()
    for value in values:
        while value >= 0x80:
            encoded.append(value & 0x7F | 0x80)
            value >>= 7
        encoded.append(value)
    return bytes(encoded)


def row(values: list[float]) -> bytes:
    return varints(8 * len(values)) + struct.pack(f"<{len(values)}d", *values)


class Reader:
    """Takes a payload apart, from the front."""

    def __init__(self, payload: bytes) -> None:
        self.rest = payload

    def take(self, n: int) -> bytes:
        taken, self.rest = self.rest[:n], self.rest[n:]
        if len(taken) != n:
            raise BadFrame("the message is cut off")
        return taken

    def varint(self, bits: int = 32) -> int:
        value = 0
        for shift in range(0, bits, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80 and value < 1 << bits:
                return value
        raise BadFrame("a number is too large")

    def text(self) -> str:
        return printable(self.take(self.varint()).decode())

    def row(self) -> list[float]:
        taken = self.take(self.varint())
        return list(struct.unpack(f"<{len(taken) // 8}d", taken))

    def filled(self, texts: list[str]) -> str:
        """The text of a variant, with the number behind it if it has one."""
        text = texts[self.varint()]
        return text.format(*(self.varint() for _ in range(text.count("{"))))

    def event(self) -> str:
        at_s = self.varint(64) / 1e6
        what = self.filled(["started", "holding: the host was silent", "{} bytes lost"])
        cause = ": " + self.filled(STARTS) if what == "started" else ""
        return f"device {at_s:10.3f} s  {what}{cause}"

    def hello(self) -> Hello:
        self.varint(16)
        board = printable(self.take(16).rstrip(b"\0").decode())
        numbers = [self.varint(), *(self.varint(16) for _ in range(4))]
        task = self.text()
        is_slot = (False, True)[self.varint()]
        source = (self.varint(16), self.varint()) if is_slot else None
        return Hello(board, *numbers, task, source)


def answer_of(payload: bytes) -> tuple[tuple[int, int], int, object]:
    """Session and sequence of an answer, its variant, and what it says."""
    reader = Reader(payload)
    to = reader.varint(), reader.varint()
    variant = reader.varint()
    try:
        said = {
            HELLO_ANSWER: reader.hello,
            BEGUN: lambda: None,
            ACTION: lambda: (reader.row(), reader.varint()),
            REFUSED: lambda: (reader.rest[0], reader.filled(REFUSALS)),
            EVENT: reader.event,
            VALUE: lambda: (reader.text(), reader.text()),
        }[variant]()
    except (IndexError, KeyError, UnicodeDecodeError, struct.error):
        raise BadFrame("the message is unknown") from None
    if reader.rest:
        raise BadFrame("bytes are left over")
    return to, variant, said


def open_wire(address: str, baud: int) -> io.FileIO:
    """A serial port (`/dev/...`) or a TCP connection (`HOST:PORT`)."""
    try:
        if address.startswith("/"):
            return open_serial(address, baud)
        host, _, port = address.rpartition(":")
        connection = socket.create_connection((host.strip("[]"), int(port)))
    except ValueError:
        raise LinkError(f"{address} is neither HOST:PORT nor the path of a serial port") from None
    except OSError as error:
        raise LinkError(f"cannot open {address}: {error.strerror or error}") from None
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return io.FileIO(connection.detach(), "r+")


def open_serial(path: str, baud: int) -> io.FileIO:
    import fcntl
    import termios
    import tty

    # Without O_NONBLOCK some ports wait here for a modem.
    wire = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    os.set_blocking(wire, True)
    try:
        fcntl.flock(wire, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LinkError(f"{path}: another program drives the device") from None
    try:
        tty.setraw(wire)
        attributes = termios.tcgetattr(wire)
        attributes[2] |= termios.CLOCAL | termios.CREAD
        attributes[2] &= ~(termios.CSTOPB | termios.CRTSCTS)
        attributes[4] = attributes[5] = getattr(termios, f"B{baud}")
        termios.tcsetattr(wire, termios.TCSANOW, attributes)
    except (AttributeError, termios.error):
        raise LinkError(f"{path} is no serial port that can have {baud} baud") from None
    return io.FileIO(wire, "r+")


class Client:
    """A host that asks a device, and asks again until the answer is there.

    Methods raise `LinkError`, and `OSError` if the wire is gone.
    """

    def __init__(self, address: str, baud: int = 115_200, timeout_s: float = TIMEOUT_S) -> None:
        self.wire = open_wire(address, baud)
        self.timeout_s = timeout_s
        self.received = b""
        self.session = self.sequence = 0
        # Time that the device took for the last action, and requests that were sent again.
        self.device_us = self.repeated = 0

    def hello(self) -> Hello:
        """Opens a session, whatever the device was doing."""
        self.session, self.sequence = 1 + secrets.randbelow((1 << 32) - 1), -1
        self.sizes = self.ask(varints(HELLO, VERSION), HELLO_ANSWER)
        return self.sizes

    def describe(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Name and unit of each value of an observation, and of an action; after a hello."""
        n_obs, n_values = self.sizes.obs_dim, self.sizes.obs_dim + self.sizes.action_dim
        values = [self.ask(varints(DESCRIBE, index), VALUE) for index in range(n_values)]
        return values[:n_obs], values[n_obs:]

    def begin(self, seed: int) -> None:
        """Begins an episode; `seed` names the noise of its plans."""
        self.ask(varints(BEGIN, seed), BEGUN)

    def observe(self, values: list[float]) -> list[float]:
        """The action for an observation."""
        action, self.device_us = self.ask(varints(OBSERVE) + row(values), ACTION)
        return action

    def ask(self, body: bytes, variant: int):
        """What an answer of this variant says. A request that is refused uses no number."""
        to = self.session, (self.sequence + 1) & 0xFFFFFFFF
        frame = frame_of(varints(*to) + body)
        others = iter(range(MAX_OTHERS))
        for attempt in range(MAX_ATTEMPTS):
            self.repeated += attempt > 0
            # The zero ends whatever the device has received of the frame before.
            self.send(b"\0" + frame if attempt else frame)
            answer = self.wait(to, others)
            if answer is None:
                continue
            answered, said = answer
            if answered == REFUSED:
                refusal, why = said
                is_lost = refusal in (NO_SESSION, OUT_OF_SEQUENCE, NO_EPISODE)
                raise (Forgotten if is_lost else LinkError)(f"the device refuses: {why}")
            if answered != variant:
                raise LinkError("the device answers another question")
            self.sequence = to[1]
            return said
        raise LinkError("the device gives no answer")

    def wait(self, to: tuple[int, int], others: Iterator[int]) -> tuple[int, object] | None:
        """The answer to a request; nothing if the request has to be sent again."""
        end = time.monotonic() + self.timeout_s
        while (stuffed := self.receive(end)) is not None:
            if next(others, None) is None:
                raise LinkError("the device answers other requests than this program's")
            if not stuffed:
                continue
            try:
                answer_to, variant, said = answer_of(payload_of(stuffed))
            except BadFrame:
                return None
            if variant == EVENT:
                print(said, file=sys.stderr)
            elif variant == REFUSED and said[0] == DAMAGED:
                return None
            elif answer_to == to or (variant == REFUSED and said[0] == BUSY):
                return variant, said
        return None

    def receive(self, end: float) -> bytes | None:
        """The bytes up to the next zero; nothing if it does not come in time."""
        while b"\0" not in self.received:
            left_s = max(0.0, end - time.monotonic())
            if not select.select([self.wire], [], [], left_s)[0]:
                return None
            chunk = self.wire.read(4096)
            if not chunk:
                raise ConnectionError("the device hung up")
            self.received = (self.received + chunk)[-MAX_FRAME_LEN:]
            # After the end, what is there already is read once.
            if left_s == 0 and b"\0" not in chunk:
                return None
        stuffed, _, self.received = self.received.partition(b"\0")
        return stuffed

    def send(self, data: bytes) -> None:
        while data:
            data = data[self.wire.write(data) :]


def self_test() -> None:
    """Compares frames with the examples in docs/link.md."""
    for n in range(1020):
        for data in (b"\1" * n, b"\0" * n, b"\1" * n + b"\0", b"\0" + b"\1" * n):
            assert unstuff(stuff(data)) == data and b"\0" not in stuff(data)
    document = Path(__file__).resolve().parents[2] / "docs" / "link.md"
    examples = re.findall(r"\| `((?:[0-9a-f]{2} )+00)` \|", document.read_text())
    hello, observe, action, damaged, busy = map(bytes.fromhex, examples)
    assert frame_of(varints(0x1234, 0, HELLO, VERSION)) == hello
    assert frame_of(varints(0x1234, 2, OBSERVE) + row([1, 2, 3, 4, 5])) == observe
    assert answer_of(payload_of(action[:-1])) == ((0x1234, 2), ACTION, ([1, -2], 300))
    assert answer_of(payload_of(damaged[:-1])) == ((0, 0), REFUSED, (DAMAGED, "damaged"))
    assert answer_of(payload_of(busy[:-1])) == ((0, 0), REFUSED, (BUSY, REFUSALS[BUSY]))
    print("the frames are those of docs/link.md")


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    if sys.argv[1] == "--self-test":
        return self_test()
    try:
        client = Client(sys.argv[1])
        hello = client.hello()
        observation, action = client.describe()
    except (LinkError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"{hello.task} on {hello.board}, model {hello.model_crc32c:08x}")
    print(f"a plan: {hello.n_obs_steps} observations in, {hello.n_action_steps} actions out")
    for what, values in (("observation", observation), ("action", action)):
        for index, (name, unit) in enumerate(values):
            print(f"{what} {index}: {name} {unit}".rstrip())


if __name__ == "__main__":
    main()
