"""The claims of a run as a picture: each ratio beside its target, with its spread."""
import sys


def draw(result, path):
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        print("no plot: needs python3-matplotlib (deploy/install-dependencies --bench)", file=sys.stderr)
        return
    ratios = [(row, claim) for row in result["rows"] for claim in row.get("claims", ())
              if claim["values"] and claim["target"] and not claim["unit"] and 0.5 <= claim["target"] <= 2]
    figure, axes = pyplot.subplots(figsize=(9, 0.36 * len(ratios) + 1.4))
    for place, (row, claim) in enumerate(reversed(ratios)):
        colour = "#2a7f4f" if claim["met"] else "#b3402e"
        axes.plot((claim["low"], claim["high"]), (place, place), color=colour, linewidth=5, alpha=.35,
                  solid_capstyle="butt")
        axes.plot(claim["median"], place, "o", color=colour)
        axes.plot(claim["target"], place, marker=4 if not claim["at_most"] else 5, color="black", markersize=9)
    axes.axvline(1, color="grey", linewidth=.8, linestyle=":")
    labels = [f"{row['name']}: {claim['what'].split(',')[0]}" for row, claim in reversed(ratios)]
    axes.set_yticks(range(len(ratios)), labels, fontsize=8)
    axes.set_xlim(0.7, max(1.8, *(c["high"] for _, c in ratios)) if ratios else 1)
    axes.set_xlabel("ratio to the bare loop (dot: median, bar: spread of pairs, arrow: the target and its good side)",
                    fontsize=8)
    machine = result["machine"]
    axes.set_title(f"fettle {machine['commit']}, Linux {machine['kernel']}, {machine['cpus']} x {machine['cpu']}, "
                   f"{machine['date']}", fontsize=9)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="y", alpha=.2)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
