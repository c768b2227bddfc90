#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a database of rpm's in SQLite, of headers made up here.

    rpmdb.py FILE [--sql STATEMENT] [--copies N] [NAME:EPOCH:VERSION:RELEASE:ARCH...]

An empty EPOCH or ARCH is left out. With --sql the statement is executed at the end, as for a database that was made to do harm;
with --copies there are so many of each package, with versions of their own.
"""
import argparse
import sqlite3
import struct

STRING, INT32, BINARY = 6, 4, 7
NAME, VERSION, RELEASE, EPOCH, SUMMARY, ARCH, IMMUTABLE = 1000, 1001, 1002, 1003, 1004, 1022, 63


def header(name, epoch, version, release, arch):
    """The entries as rpm has them: sorted by tag, behind one for the region that they are in."""
    entries, data = [], b""
    values = [(NAME, name), (VERSION, version), (RELEASE, release), (EPOCH, epoch), (SUMMARY, "a package"), (ARCH, arch)]
    for tag, value in values:
        if value == "":
            continue
        if tag == EPOCH:
            data += b"\0" * (-len(data) % 4)
            entries.append((tag, INT32, len(data), 1))
            data += struct.pack(">I", int(value))
        else:
            entries.append((tag, STRING, len(data), 1))
            data += value.encode() + b"\0"
    entries.insert(0, (IMMUTABLE, BINARY, len(data), 16))
    data += struct.pack(">IIiI", IMMUTABLE, BINARY, -16 * len(entries), 16)
    return struct.pack(">II", len(entries), len(data)) + b"".join(struct.pack(">IIII", *entry) for entry in entries) + data


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("packages", nargs="*")
    parser.add_argument("--sql")
    parser.add_argument("--copies", type=int, default=1)
    options = parser.parse_intermixed_args()
    database = sqlite3.connect(options.file)
    database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    database.execute("CREATE TABLE Name (key TEXT NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL)")
    for package in options.packages:
        name, epoch, version, release, arch = package.split(":")
        for copy in range(options.copies):
            own = version if options.copies == 1 else f"{version}.{copy}"
            database.execute("INSERT INTO Packages (blob) VALUES (?)", (header(name, epoch, own, release, arch),))
    database.commit()
    if options.sql:
        database.executescript(options.sql)
    database.execute("PRAGMA journal_mode = WAL")
    database.close()
    with open(options.file, "rb") as file:  # what it stays in is what rpm leaves
        assert options.sql or file.read(20)[18:] == b"\2\2"


main()
