#!/usr/bin/env python3
"""Copies each packet of a trace (CTF) into a directory of its own: packets.py TRACE NEW_DIRECTORY

A torn packet makes babeltrace2 refuse its whole stream. See the guide's page on a tracer's last events.
"""
import os, shutil, sys
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            data = file.read()
        # A packet begins with the magic number and the trace's UUID (CTF 1.8.3, section 5.1).
        at = data.find(bytes.fromhex("c11ffcc1"))
        start = data[at:at + 20]
        while name != "metadata" and at >= 0:
            end = data.find(start, at + 20)
            place = os.path.relpath(f"{folder}/{name}-{at}", sys.argv[1])
            alone = os.path.join(sys.argv[2], place.replace("/", "_"))
            os.makedirs(alone)
            shutil.copy(os.path.join(folder, "metadata"), alone)
            with open(os.path.join(alone, name), "wb") as packet:
                packet.write(data[at:end] if end > 0 else data[at:])
            at = end
