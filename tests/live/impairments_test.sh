#!/bin/bash
# Packets that are kept back, lost and overtaken: times are never less than asked for, shares are within what
# chance allows, and nothing stays in the queue, is lost or comes twice at a reload and at the end.
. "$(dirname "$0")/lib.sh"

live_begin "delay, jitter, lose, reorder, rate, corrupt"

cat >"$work/delay" <<'RULES'
[[rule]]
name = "slow"
match = { protocol = "udp", dst-port = 5000 }
steps = [ { write = "46544c31", at = 0 }, { delay = "60ms" } ]
[[rule]]
name = "far"
match = { protocol = "udp", dst-port = 5001 }
steps = [ { delay = "30s" } ]
[[rule]]
name = "lossy"
match = { protocol = "udp", dst-port = 5002 }
steps = [ { lose = "10%" } ]
[[rule]]
name = "mixed"
match = { protocol = "udp", dst-port = 5003 }
steps = [ { reorder = "25%", by = "10ms" } ]
[[rule]]
name = "narrow"
match = { protocol = "udp", dst-port = 5004 }
steps = [ { rate = "8mbit", latency = "20ms" } ]
[[rule]]
name = "noisy"
match = { protocol = "udp", dst-port = 5005 }
steps = [ { corrupt = "50%" } ]
RULES

# Sends `count` datagrams to a port from a socket of the client's, `gap` seconds apart, and takes them in the
# server's: one clock for both ends. Prints count, how many came, reordered ones, and the least and median delay
# in microseconds.
cat >"$work/probe.py" <<'PYTHON'
import ctypes, os, socket, statistics, struct, sys, threading, time
client, server, address, port, count, gap = sys.argv[1:4] + [int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6])]

def socket_in(name):
    with open(f"/run/netns/{name}") as ns:
        if ctypes.CDLL(None, use_errno=True).setns(ns.fileno(), 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

receiver = socket_in(server)
receiver.bind((address, port))
receiver.settimeout(1.0)
receiver.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
sender = socket_in(client)
came = []

def receive():
    while len(came) < count:
        try:
            data = receiver.recv(2048)
        except TimeoutError:
            return
        number, sent = struct.unpack("!IQ", data[4:16])
        came.append((number, time.monotonic_ns() - sent))

thread = threading.Thread(target=receive)
thread.start()
for number in range(count):
    sender.sendto(b"SENT" + struct.pack("!IQ", number, time.monotonic_ns()) + bytes(1000 - 28 - 16), (address, port))
    if gap:
        time.sleep(gap)
thread.join()
late = sum(1 for i in range(1, len(came)) if came[i][0] < max(n for n, _ in came[max(0, i - 200):i]))
delays = [delay / 1000 for _, delay in came] or [0]
print(f"came={len(came)} distinct={len(set(n for n, _ in came))} reordered={late} "
      f"least={int(min(delays))} median={int(statistics.median(delays))}")
PYTHON
probe() {  # name port count gap
  "$python" "$work/probe.py" "$client" "$server" $server_address4 "$2" "$3" "$4" >"$work/$1.log" 2>&1 || die "the probe failed"
  printf '        %s: %s\n' "$1" "$(cat "$work/$1.log")"
}

cp "$work/delay" "$work/rules.toml"
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0 --queue-length 8192
firewall "$router" -t mangle -A FORWARD -p udp -j NFQUEUE --queue-num 0

probe slow 5000 50 0.005 &
slow=$!
# Meanwhile others pass. Medians: a machine under load is late now and then.
probe other 5009 100 0.001
wait $slow
expect_equal "delay: come" "$(report slow distinct)" 50
expect_between "delay: least, microseconds" "$(report slow least)" 60000 10000000
expect_between "delay: median" "$(report slow median)" 60000 90000
expect_equal "delay alone: reordered" "$(report slow reordered)" 0
expect_equal "undelayed: come" "$(report other distinct)" 100
expect_between "undelayed meanwhile: median" "$(report other median)" 0 30000

# 2000 of 10 %: a standard deviation is 13.4.
probe lossy 5002 2000 0
expect_between "lose 10 %: come of 2000" "$(report lossy distinct)" $((1800 - 75)) $((1800 + 75))
probe mixed 5003 400 0.001
expect_equal "reorder: come" "$(report mixed distinct)" 400
expect_between "reorder 25 %: overtaken of 400" "$(report mixed reordered)" 40 160
# A packet of 1000 bytes takes 1 ms; 21 of a burst of 100 find room in 20 ms, as many more as ms pass.
probe narrow 5004 100 0
expect_between "rate: come of a burst" "$(report narrow distinct)" 21 60
expect_between "rate: least" "$(report narrow least)" 1000 10000000
before=$(checksum_errors "$server")
probe noisy 5005 400 0
damaged=$((400 - $(report noisy distinct)))
expect_between "corrupt 50 %: thrown away by the server of 400" "$damaged" 150 250
expect_equal "for their checksums" "$(($(checksum_errors "$server") - before))" "$damaged"

wait_for 3 queues_empty "$router" || true
expect_equal "left in the queue" "$(queue_waiting "$router" 0)" 0

# What waits for 30 s leaves at a reload, and what comes behind it waits in its place, until the end.
port=5001
receive_far() {
  start receiver "$server" "$traffic" receive at=$server_address4 port=$port
  receiver_pid=$started
  wait_for 5 log_has receiver listening || die "the receiver does not listen"
}
send_far() {  # count
  start sender "$client" "$traffic" send to=$server_address4 port=$port count="$1" rate=20000 size=64
  wait "$started" || die "the sender failed"
}
receive_far
send_far 500
waits() { [ "$(queue_waiting "$router" 0)" = "$1" ]; }
wait_for 3 waits 500 || true
expect_equal "wait" "$(queue_waiting "$router" 0)" 500
kill -HUP "$fettle_pid"
wait_for 10 log_has fettle reloaded || die "no reload"
wait_for 3 queues_empty "$router" || true
expect_equal "wait behind a reload" "$(queue_waiting "$router" 0)" 0
send_far 300
wait_for 3 waits 300 || true
expect_equal "wait again" "$(queue_waiting "$router" 0)" 300
kill -KILL "$(worker_pid 0)"
wait_for 5 log_has fettle restarting || die "no successor"
send_far 200
wait_for 3 waits 500 || true
expect_equal "wait, behind a worker's death too" "$(queue_waiting "$router" 0)" 500
fettle_stop
expect_equal "exit status" "$fettle_status" 0
sleep 0.3
kill -TERM "$receiver_pid"
receiver_wait
expect_equal "each sender's last: come" "$(report receiver received)" 1000
expect_match "delays in the summary" "$(cat "$work/fettle.log")" 'delayed [0-9]+, at once for want of room 0'
live_end
