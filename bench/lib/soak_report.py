"""A soak's outcome as lines and as the table of bench/README.md."""
from .soak_run import EACH


def _number(value):
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def expected(claim):
    low, high = claim["low"], claim["high"]
    if low == high:
        return _number(low)
    return f"≤ {_number(high)}" if low <= -1 << 20 or low == 0 else f"{_number(low)} to {_number(high)}"


def lines(result):
    return [f"  {'ok  ' if c['met'] else 'FAIL'}  {c['what']}: found {_number(c['found'])}"
            f"{' ' + c['unit'] if c['unit'] else ''}, expected {expected(c)}" for c in result["claims"]]


def headline(result):
    """What happened, in a sentence."""
    kinds = [kind for _, _, kind in result["events"]]
    says = result["says"]
    sent = sum(says[n]["sent"] for n in ("sent4", "sent6")) + sum(
        v for k, v in says["keep-alives sent"].items() if k.isdigit())
    return (f"{result['options']['minutes']:g} minutes, seed {result['options']['seed']}: {sent:,} datagrams, "
            f"{says['transfers']['done']:,} TCP transfers ({says['transfers']['bytes'] / 1e9:.1f} GB), "
            f"{says['requests']['done']:,} small connections, {result['hostile_sent']:,} hostile packets, "
            f"{result['asked']:,} control requests; " + ", ".join(f"{kinds.count(k)} × {k}" for k in EACH))


def markdown(result):
    machine = result["machine"]
    out = [f"Linux {machine['kernel']}, {machine['cpus']} CPUs ({machine['cpu']}), {machine['date']}, commit "
           f"{machine['commit']}; {headline(result)}.", "",
           "| claim | found | expected | |", "| --- | --: | --: | --- |"]
    for c in result["claims"]:
        unit = f" {c['unit']}" if c["unit"] else ""
        met = "met" if c["met"] else "**missed**"
        out.append(f"| {c['what']} | {_number(c['found'])}{unit} | {expected(c)} | {met} |")
    return "\n".join(out) + "\n"
