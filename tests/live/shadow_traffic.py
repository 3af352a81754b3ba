"""Traffic for shadow_test.sh, and its witness: scapy on what tcpdump saw on both sides of the router.

    shadow_traffic.py serve ADDRESS PORT            a TCP server that answers each line with its length
    shadow_traffic.py send ADDRESS PORT COUNT       COUNT datagrams to each of ports 5001 to 5009, then TCP lines to PORT
    shadow_traffic.py compare LAN.pcap WAN.pcap     does what came by one side leave by the other as it came?

`compare` prints one line: packets that came and left, how many left as they came but for the router's hop (TTL and the
IP header's checksum, which is verified), in the order of their flow, and the longest that one was under way, in milliseconds.
"""
import socket
import sys
import time

LINES = [b"first line\n", b"my secret.\n", b"two secret secrets\n", (b"cut in the sec", b"ret here\n"), b"last one\n"]


def payload(port, number):
    return b"sent" + bytes([10, 20, 0, 11]) + port.to_bytes(2, "big") + number.to_bytes(4, "big") + bytes(range(40))


def serve(address, port):
    with socket.create_server((address, port)) as server:
        print("listening", flush=True)
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as lines:
            for line in lines:
                connection.sendall(b"%d\n" % len(line))


def send(address, port, count):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(count):
            for to in range(5001, 5010):
                sender.sendto(payload(to, number), (address, to))
                time.sleep(0.001)
    time.sleep(1.2)  # another second's lines of the log
    with socket.create_connection((address, port)) as connection, connection.makefile("rb") as answers:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        said = []
        for line in LINES:
            for part in line if isinstance(line, tuple) else (line,):
                connection.sendall(part)
                time.sleep(0.01)
            said.append(answers.readline().strip().decode())
    print(f"answers={','.join(said)}")


def packets(path, source):
    """Of a side: (seconds, bytes) of the IPv4 packets from that end's network, flow by flow."""
    from scapy.all import IP, RawPcapReader, Ether
    out = []
    for data, meta in RawPcapReader(path):
        frame = Ether(data)
        if IP in frame and frame[IP].src.startswith(source):
            out.append((meta.sec + meta.usec / 1e6, data[14:14 + frame[IP].len]))
    return sorted(out, key=lambda one: one[1][20:24])  # ports; the order within a flow stays


def hop_undone(packet):
    from scapy.all import IP, raw
    header = (packet[0] & 15) * 4
    ip = IP(packet[:header])
    checksum = ip.chksum
    del ip.chksum
    if IP(raw(ip)).chksum != checksum:
        return b"a wrong checksum"
    ip.ttl += 1
    return raw(ip) + packet[header:]


def compare(lan, wan):
    came_count = left_count = same = 0
    slowest = 0.0
    for source, before, after in (("10.1.", lan, wan), ("10.2.", wan, lan)):
        came, left = packets(before, source), packets(after, source)
        came_count += len(came)
        left_count += len(left)
        for (came_at, packet), (left_at, other) in zip(came, left):
            same += packet == hop_undone(other)
            slowest = max(slowest, left_at - came_at)
    print(f"came={came_count} left={left_count} same={same} slowest={int(slowest * 1000)}")


if sys.argv[1] == "serve":
    serve(sys.argv[2], int(sys.argv[3]))
elif sys.argv[1] == "send":
    send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
else:
    compare(sys.argv[2], sys.argv[3])
