"""The rule sets that are measured, made on the spot and the same each time."""
import os
import random

ACCEPT = """
[[rule]]
name = "nobody's port"
match = { protocol = "udp", dst-port = 9 }
steps = ["drop"]
"""
KEEP_ALIVE = """
[[rule]]
name = "keep-alive"
match = { protocol = "udp", dst-port = 1331 }
steps = [{ translate = "print-servers", at = 4 }]
"""
DSCP = """
[[rule]]
name = "expedited"
match = { protocol = "tcp" }
steps = [{ set = { dscp = 46 } }]
"""


def _other_rule(random_, number):
    """One that the measured packets do not match: 10.77.0.0/16, UDP to port 1331, v1b to v2a."""
    port = random_.choice([n for n in (random_.randrange(1, 1331), random_.randrange(1332, 65536))])
    v4 = f"{random_.randrange(11, 200)}.{random_.randrange(256)}.{random_.randrange(256)}.0/24"
    v6 = f"2001:db8:{random_.randrange(65536):x}:{random_.randrange(65536):x}::/64"
    low = random_.randrange(2000, 60000)
    match = (f'protocol = "udp", dst-port = {port}',
             f'protocol = "udp", dst-port = "{low}-{low + random_.randrange(1, 400)}"',
             f'protocol = "udp", src = "{v4}"',
             f'protocol = "udp", dst = "{v6}"',
             f'protocol = "tcp", dst = "{v4}", dst-port = {port}',
             f'protocol = "udp", in = "eth{number % 64}", dst-port = 1331',
             f'protocol = "udp", dst-port = 1331, src = "{v4}", not = {{ src-port = "1-1023" }}',
             )[number % 7]
    steps = ('[{ set = { ttl = 17 } }]', '["drop"]', '[{ set = { dscp = 10 } }]')[number % 3]
    return f'[[rule]]\nname = "other {number}"\nmatch = {{ {match} }}\nsteps = {steps}\n'


def _addresses(random_, count):
    """`count` pairs inside,outside. Hosts of 10/8 but 10.77.0.0/16, in no order."""
    hosts = random_.sample(range(0x0A000000, 0x0A4D0000), count)
    text = lambda n: f"{n >> 24}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"  # noqa: E731
    return "".join(f"{text(n)},{text(n + 0x22000000)}\n" for n in hosts)


def keep_alive(others, addresses, folder, name):
    """The keep-alive rule behind `others` rules that do not match, a table of `addresses` beside."""
    random_ = random.Random(1331)
    table = '[table.print-servers]\n"10.77.0.0/16" = "203.0.0.0/16"\n'
    if addresses:
        with open(os.path.join(folder, f"{name}.csv"), "w") as f:
            f.write(_addresses(random_, addresses))
        table = f'[table.print-servers]\nfile = "{name}.csv"\n"10.77.0.0/16" = "203.0.0.0/16"\n'
    return table + "".join(_other_rule(random_, n) for n in range(others)) + KEEP_ALIVE


def heavy(steps):
    """Every packet takes `steps` steps, some microseconds in all."""
    some = ", ".join('{ set = { ttl = %d } }, { write = "%08x", at = 8 }' % (20 + n % 40, n) for n in range(steps // 2))
    return f'[[rule]]\nname = "heavy"\nmatch = {{ protocol = "udp" }}\nsteps = [{some}]\n'


class RuleFiles:
    """Writes each set into a folder when it is first asked for."""
    SETS = {"accept": lambda folder: ACCEPT,
            "change": lambda folder: keep_alive(9, 0, folder, "change"),
            "change-10k": lambda folder: keep_alive(9999, 1_000_000, folder, "change-10k"),
            "dscp": lambda folder: DSCP,
            "dscp-all": lambda folder: DSCP.replace('{ protocol = "tcp" }', "{}"),
            "heavy": lambda folder: heavy(1600)}

    def __init__(self, folder):
        self._folder = folder

    def path(self, name):
        path = os.path.join(self._folder, f"{name}.toml")
        if not os.path.exists(path):
            text = self.SETS[name](self._folder)
            with open(path, "w") as f:
                f.write(text)
        return path
