#!/usr/bin/python3
"""One TCP stream, as fast as it goes: `tcp_stream.py receive` prints the bytes that came, `send HOST SECONDS` sends.

The receiver has the kernel throw the bytes away (MSG_TRUNC), and the sender sends the same ones again and again,
so that neither touches them.
"""
import json
import resource
import socket
import sys
import time

PORT = 5001


def cpu_seconds():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


def receive():
    server = socket.create_server(("", PORT))
    server.settimeout(20)
    print("ready", flush=True)
    stream, _ = server.accept()
    buffer = bytearray(1 << 20)
    total, begin = 0, None
    while count := stream.recv_into(buffer, 0, socket.MSG_TRUNC):
        begin = begin or time.monotonic()
        total += count
    print(json.dumps({"bytes": total, "seconds": time.monotonic() - (begin or time.monotonic()),
                      "cpu_seconds": cpu_seconds()}))


def send(host, seconds):
    stream = socket.create_connection((host, PORT), timeout=10)
    stream.settimeout(5)
    block = bytes(1 << 20)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stream.sendall(block)
    stream.shutdown(socket.SHUT_WR)
    # struct tcp_info of linux/tcp.h: tcpi_total_retrans.
    info = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    print(json.dumps({"retransmissions": int.from_bytes(info[100:104], sys.byteorder), "cpu_seconds": cpu_seconds()}))


if __name__ == "__main__":
    receive() if sys.argv[1] == "receive" else send(sys.argv[2], float(sys.argv[3]))
