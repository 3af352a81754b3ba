"""The claims of a run as a picture: each ratio beside its target, with its spread."""
import sys

LOW, HIGH = 0.6, 1.8  # what lies outside is written beside the edge
GOOD, BAD = "#2a7f4f", "#b3402e"


def label(row, claim):
    words = [w for w in claim["what"].split(", ") if not w.startswith("to ")]
    return f"{row['name']}: {', '.join(words).split(', to')[0]}"


def draw_claim(axes, place, claim):
    colour = GOOD if claim["met"] else BAD
    good_side = (LOW, claim["target"]) if claim["at_most"] else (claim["target"], HIGH)
    axes.fill_betweenx((place - .36, place + .36), *good_side, color=GOOD, alpha=.09, linewidth=0)
    axes.plot((claim["target"],) * 2, (place - .36, place + .36), color="black", linewidth=1.2)
    low, high, middle = (min(max(claim[key], LOW), HIGH) for key in ("low", "high", "median"))
    axes.plot((low, high), (place, place), color=colour, linewidth=5, alpha=.4, solid_capstyle="butt")
    axes.plot(middle, place, "o", color=colour, markersize=5, clip_on=False)
    if middle != claim["median"]:
        right = middle == HIGH
        axes.text(middle + (-.02 if right else .02), place, f"{claim['median']:.2f}", fontsize=8, va="center",
                  ha="right" if right else "left", color=colour)


def pyplot_or_none():
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        print("no plot: needs python3-matplotlib (deploy/install-dependencies --bench)", file=sys.stderr)
        return None
    return pyplot


def draw(result, path):
    pyplot = pyplot_or_none()
    if pyplot is None:
        return
    ratios = [(row, claim) for row in result["rows"] for claim in row.get("claims", ())
              if claim["values"] and claim["target"] and not claim["unit"] and LOW <= claim["target"] <= HIGH]
    ratios.reverse()
    figure, axes = pyplot.subplots(figsize=(8.5, 0.26 * len(ratios) + 1.2))
    for place, (_, claim) in enumerate(ratios):
        draw_claim(axes, place, claim)
    axes.axvline(1, color="grey", linewidth=.8, linestyle=":")
    axes.set_yticks(range(len(ratios)), [label(row, claim) for row, claim in ratios], fontsize=8)
    axes.set_xlim(LOW, HIGH)
    axes.set_ylim(-.6, len(ratios) - .4)
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("ratio to the bare loop. Dot: median, bar: spread of pairs, line: target, shaded: its good side",
                    fontsize=8)
    machine = result["machine"]
    axes.set_title(f"fettle {machine['commit']}, Linux {machine['kernel']}, {machine['cpus']} x {machine['cpu']}, "
                   f"{machine['date']}", fontsize=9)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
