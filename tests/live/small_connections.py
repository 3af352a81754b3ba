"""Many small TCP connections whose streams the rules under test (edited_stream.toml) edit in both directions.

  small_connections.py serve ADDRESS PORT                     answers until SIGTERM
  small_connections.py ask ADDRESS PORT COUNT AT_A_TIME       one question each; then the report
  small_connections.py keep ADDRESS PORT COUNT                all open at a time; then the report

The last line printed is the report: key=value pairs. edited: both question and answer came as the rules make them;
plain: neither was changed; wrong: anything else; unanswered: nothing came for PATIENCE seconds.
"""
import re
import signal
import socket
import sys
import threading

PATIENCE = 15
KINDS = ("edited", "plain", "wrong", "unanswered")
QUESTION, ANSWER = b"ask <gg> %d\n", b"re [ss]<g> %d %d\n"


def read_line(connection):
    line = b""
    while not line.endswith(b"\n") and (chunk := connection.recv(4096)):
        line += chunk
    return line


def answer(connection):
    try:
        with connection:
            while found := re.fullmatch(rb"ask <(g+)> (\d+)\n", read_line(connection)):
                connection.sendall(ANSWER % (len(found[1]), int(found[2])))
    except OSError:
        pass  # the client tells of it


def serve(address, port):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    listener = socket.create_server((address, port), backlog=512)
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def kind_of(found, number):
    if found == b"re <ggg> 6 %d\n" % number:
        return "edited"
    return "plain" if found == ANSWER % (2, number) else "wrong"


def ask_once(connection, number):
    try:
        connection.sendall(QUESTION % number)
        return kind_of(read_line(connection), number)
    except TimeoutError:
        return "unanswered"


def ask(address, port, count, at_a_time):
    counts, lock, numbers = dict.fromkeys(KINDS, 0), threading.Lock(), iter(range(count))

    def go_on():
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            with socket.create_connection((address, port), PATIENCE) as connection:
                kind = ask_once(connection, number)
            with lock:
                counts[kind] += 1
    threads = [threading.Thread(target=go_on) for _ in range(at_a_time)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts


def keep(address, port, count):
    counts = dict.fromkeys(KINDS, 0)
    connections = [socket.create_connection((address, port), PATIENCE) for _ in range(count)]
    for _ in range(2):
        counts = dict.fromkeys(counts, 0)
        for number, connection in enumerate(connections):
            counts[ask_once(connection, number)] += 1
    return counts


def main():
    what, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if what == "serve":
        serve(address, port)
    counts = (ask if what == "ask" else keep)(address, port, *map(int, sys.argv[4:]))
    print(*(f"{key}={value}" for key, value in counts.items()), flush=True)


if __name__ == "__main__":
    main()
