"""Counts the instructions of a plan by class, as a model of cycles needs them.

    cargo firmware selftest --board BOARD --model models/MODEL.ptm           (builds it)
    python3 tests/oracle/instruction_classes.py BOARD MODEL ELF PLANS > counts.json

QEMU executes the binary `selftest` and writes each block that it translates, disassembled, and each
block that it executes; only the functions of plans are traced (`pusht_core::quant`, without the
check of the model file). The counts are divided by the number of plans: two of the self-test, and
those of its closed loop (12 control steps, one plan per `Ta` of them: 4 with the shipped models).

Classes:
  load             a load that follows no other load or store
  next_load        a load behind a load or store, which some cores overlap
  store            a store
  moved            registers moved by instructions for several of them
  several          such instructions
  multiply         a multiplication of any kind
  divide           a division
  taken            a branch that is taken, calls and returns included
  not_taken        a branch that is not
  other            everything else

Versions: Python 3.12; QEMU 7.2 (its disassembler is capstone); rustc 1.95.
"""

import collections
import json
import os
import re
import subprocess
import sys
import tempfile

MACHINES = {"mps2-an386": "mps2-an386", "mps2-an385-v6m": "mps2-an385", "mps2-an505": "mps2-an505"}
WANTED = re.compile(r"pusht_core5quant(4arch|3net|7kernels)(?!6linear6Linear7checked|4norm4Norm3new)")
LINE = re.compile(r"0x([0-9a-f]+):  ((?:[0-9a-f]{4} ?)+) +(\S+) *(.*)")
BRANCHES = re.compile(r"(b|bl|bx|blx|cbz|cbnz|tbb|tbh)(eq|ne|hs|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)?(\.w|\.n)?$")


def functions(elf: str) -> list:
    """Address and length of each function of plans."""
    out = subprocess.run(["llvm-nm", "--print-size", elf], check=True, capture_output=True, text=True).stdout
    found = []
    for line in out.splitlines():
        words = line.split()
        if len(words) == 4 and WANTED.search(words[3]):
            found.append((int(words[0], 16) & ~1, int(words[1], 16)))
    return found


def class_of(name: str, operands: str, follows_access: bool) -> tuple:
    """The class, and how many registers the instruction moves."""
    if BRANCHES.match(name):
        return "branch", 0
    if name.startswith(("push", "pop", "ldm", "stm", "ldrd", "strd")):
        registers = operands.split("{")[-1].split("}")[0].split(",") if "{" in operands else ["", ""]
        return "several", len(registers)
    if name.startswith("ldr"):
        return ("next_load" if follows_access else "load"), 0
    if name.startswith("str"):
        return "store", 0
    if name.startswith(("mul", "mla", "mls", "smul", "smla", "smml", "smua", "smus", "smls", "umul", "umla", "smmu")):
        return "multiply", 0
    if name.startswith(("sdiv", "udiv")):
        return "divide", 0
    return "other", 0


class Block:
    """A translated block: its classes, the end of its code, whether it ends in a branch."""

    def __init__(self, lines: list):
        self.classes = collections.Counter()
        self.n_instructions = len(lines)
        follows_access = False
        for address, code, name, operands in lines:
            kind, moved = class_of(name, operands, follows_access)
            follows_access = kind in ("load", "next_load", "store", "several")
            self.is_branch = kind == "branch"
            if not self.is_branch:
                self.classes[kind] += 1
                self.classes["moved"] += moved
            self.end = address + len(code.replace(" ", "")) // 2
            # A return by `pop {.., pc}`.
            self.is_return = kind == "several" and "pc" in operands


def count(trace) -> tuple:
    blocks, lines, total, n = {}, [], collections.Counter(), 0
    last = None
    for line in trace:
        if line.startswith("Trace"):
            at = int(line.split("/")[1], 16)
            if lines:
                blocks[lines[0][0]] = Block(lines)
                lines = []
            if last is not None:
                way = "taken" if last.is_return or at != last.end else "not_taken"
                if last.is_branch or last.is_return:
                    total[way] += 1
            last = blocks[at]
            total.update(last.classes)
            n += last.n_instructions
        elif line.startswith("IN:") or line.startswith("---"):
            lines = []
        elif found := LINE.match(line):
            lines.append((int(found[1], 16), found[2], found[3], found[4]))
    return total, n


def main() -> None:
    board, model, elf, n_plans = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    ranges = ",".join(f"{at:#x}+{length:#x}" for at, length in functions(elf))
    with tempfile.TemporaryDirectory() as folder:
        pipe = os.path.join(folder, "trace")
        os.mkfifo(pipe)
        qemu = subprocess.Popen(
            ["qemu-system-arm", "-machine", MACHINES[board], "-display", "none", "-monitor", "none",
             "-serial", "none", "-semihosting-config", "enable=on,target=native",
             "-d", "in_asm,exec,nochain", "-dfilter", ranges, "-D", pipe, "-kernel", elf],
            stdout=subprocess.DEVNULL)
        with open(pipe, encoding="utf-8", errors="replace") as trace:
            total, n = count(trace)
        assert qemu.wait() == 0, "the self-test failed"
    counts = {name: round(value / n_plans) for name, value in sorted(total.items())}
    json.dump({"board": board, "model": model, "instructions": round(n / n_plans), **counts}, sys.stdout, indent=2)
    print()


main()
