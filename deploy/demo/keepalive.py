"""The two ends of the print servers' keep-alive, for deploy/quickstart.

  keepalive.py central ADDRESS                     answers until it is ended; a line for each keep-alive
  keepalive.py print-server ADDRESS CENTRAL COUNT  sends, waits for the answers; the last line is the result

UDP, port 1331 to port 1331. A message: | "KA", kind 1, version 1 | sender's address 4 | addressee's address 4
| sequence 4 |. The central system answers to the address that the message carries, as the real one
does, whatever address the packet came from.
"""

import socket
import struct
import sys

PORT = 1331
FORMAT = struct.Struct(">2sBB4s4sI")
KEEP_ALIVE, ANSWER = 1, 2
PATIENCE = 0.5


def pack(kind, sender, addressee, sequence):
    addresses = socket.inet_aton(sender), socket.inet_aton(addressee)
    return FORMAT.pack(b"KA", kind, 0, *addresses, sequence)


def unpack(data):
    _, kind, _, sender, addressee, sequence = FORMAT.unpack(data)
    return kind, socket.inet_ntoa(sender), socket.inet_ntoa(addressee), sequence


def open_socket(address):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, PORT))
    return sock


def central(address):
    sock = open_socket(address)
    print("listening", flush=True)
    while True:
        data, (source, _) = sock.recvfrom(2048)
        _, sender, _, sequence = unpack(data)
        line = f"keep-alive {sequence} comes from {source}, says it is {sender}: "
        try:
            sock.sendto(pack(ANSWER, address, sender, sequence), (sender, PORT))
            print(line + f"answered to {sender}", flush=True)
        except OSError as error:
            print(line + f"cannot answer to {sender}, {error.strerror}", flush=True)


def print_server(address, central_address, count):
    sock = open_socket(address)
    sock.settimeout(PATIENCE)
    answered = right = 0
    for sequence in range(1, count + 1):
        sock.sendto(pack(KEEP_ALIVE, address, central_address, sequence), (central_address, PORT))
        try:
            answer = unpack(sock.recv(2048))
        except TimeoutError:
            continue
        answered += 1
        right += answer == (ANSWER, central_address, address, sequence)
    print(f"sent={count} answered={answered} right={right}")


if sys.argv[1] == "central":
    central(sys.argv[2])
else:
    print_server(sys.argv[2], sys.argv[3], int(sys.argv[4]))
