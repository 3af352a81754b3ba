"""A soak as a picture: panels that share the time, acts behind them, events below."""
from .plot import pyplot_or_none
from .soak_run import EACH

COLOURS = {"supervisor": "#333333", "worker 0": "#1f6fb4", "worker 1": "#2a9d6f", "worker 2": "#c77f1a"}
NAMES = {"worker 2": "worker 2 (hostile packets)"}
ACTS = {"storm": "#fbeeea", "one supervisor": "#fdf8e4", "calm": "#eaf5ee"}
TITLES = {"storm": "everything", "one supervisor": "reloads and kills", "calm": "traffic alone"}
EVENTS = {"reload": "#1f6fb4", "kill": "#b3402e", "fault": "#d9772b", "stop": "#7a4fa0", "takeover": "#2a9d6f",
          "drain": "#333333"}
EVENT_NAMES = {"kill": "SIGKILL", "fault": "SIGSEGV", "stop": "SIGSTOP"}


def minutes(result, at):
    return (at - result["begin"]) / 60


def pieces(points):
    """Times and values, with a gap where there was no sample for more than three seconds."""
    times, values = [], []
    for time, value in points:
        if times and time - times[-1] > 3 / 60:
            times.append(time)
            values.append(float("nan"))
        times.append(time)
        values.append(value)
    return times, values


def rates(result, key):
    """A second at a time: a sample's difference from the one before."""
    samples = result["samples"]
    return [(minutes(result, b["t"]), (b["traffic"][key] - a["traffic"][key]) / (b["t"] - a["t"]) / 1000)
            for a, b in zip(samples, samples[1:]) if b["act"] != "end"]


def smoothed(points, width):
    """Means of so many samples, since the programs tell their counts but once a second, at other moments."""
    half = width // 2
    return [(t, sum(v for _, v in points[max(0, i - half):i + half + 1])
             / len(points[max(0, i - half):i + half + 1])) for i, (t, _) in enumerate(points)]


def draw_rates(axes, result):
    for key, colour, width, style in (("sent", "#b9c4cf", 3.2, "-"), ("received", "#1f6fb4", 1.1, "-")):
        axes.plot(*pieces(smoothed(rates(result, key), 5)), style, color=colour, linewidth=width, label=key)
    axes.set_ylabel("datagrams/s\n(thousands)")
    axes.set_ylim(bottom=0)


def draw_processes(axes, result, key, label, scale=1.0):
    if key == "pss":
        points = [(minutes(result, s["t"]), sum(p[key] for p in s["processes"].values()) / scale)
                  for s in result["samples"] if len(s["processes"]) == len(COLOURS) and s["act"] != "end"]
        axes.plot(*pieces(points), color="#999999", linewidth=1.8, label="all")
    for role, colour in COLOURS.items():
        points = [(minutes(result, s["t"]), s["processes"][role][key] / scale) for s in result["samples"]
                  if role in s["processes"] and s["act"] != "end"]
        axes.plot(*pieces(points), color=colour, linewidth=1.1, label=NAMES.get(role, role))
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)


def draw_queues(axes, result):
    for queue, colour in enumerate(list(COLOURS.values())[1:]):
        points = [(minutes(result, s["t"]), s["queues"].get(queue, s["queues"].get(str(queue), {})).get("waiting", 0))
                  for s in result["samples"] if s["act"] != "end"]
        axes.plot(*pieces(points), color=colour, linewidth=.9, label=f"queue {queue}")
    drops = [(minutes(result, s["t"]), sum(q["full"] + q["socket"] for q in s["queues"].values()))
             for s in result["samples"] if s["act"] != "end"]
    axes.plot(*pieces(drops), color="#b3402e", linewidth=1.6, linestyle="--", label="dropped, queue or socket full")
    axes.set_yscale("symlog", linthresh=10)
    axes.set_ylim(-1, 1e5)
    axes.set_yticks([0, 10, 100, 1000, 10000], ["0", "10", "100", "1,000", "10,000"])
    axes.set_ylabel("packets\nthat wait")


def draw_events(axes, result):
    for place, kind in enumerate(reversed(EACH)):
        times = [minutes(result, begin) for begin, _, of in result["events"] if of == kind]
        axes.plot(times, [place] * len(times), "|", color=EVENTS[kind], markersize=7, markeredgewidth=1.3)
    axes.set_yticks(range(len(EACH)), [f"{EVENT_NAMES.get(kind, kind)} "
                                       f"({sum(of == kind for _, _, of in result['events'])})"
                                       for kind in reversed(EACH)])
    axes.set_ylim(-.7, len(EACH) - .3)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("minutes")


def shade_acts(panels, result):
    samples = result["samples"]
    for act, colour in ACTS.items():
        times = [minutes(result, s["t"]) for pair in zip(samples, samples[1:]) if pair[0]["act"] == act for s in pair]
        if not times:
            continue
        for axes in panels:
            axes.axvspan(times[0], times[-1], color=colour, linewidth=0, zorder=0)
        panels[-1].text((times[0] + times[-1]) / 2, .99, TITLES[act], transform=panels[-1].get_xaxis_transform(),
                        ha="center", va="bottom", fontsize=8, color="#555555")


def title(result):
    machine, met = result["machine"], sum(c["met"] for c in result["claims"])
    return (f"fettle {machine['commit']}, {result['options']['minutes']:g} minutes, {met} of {len(result['claims'])} "
            f"claims hold\nLinux {machine['kernel']}, {machine['cpus']} × {machine['cpu']}, {machine['date']}")


def draw(result, path):
    pyplot = pyplot_or_none()
    if pyplot is None:
        return
    pyplot.rcParams.update({"font.size": 8, "axes.labelsize": 8, "xtick.labelsize": 8, "ytick.labelsize": 8})
    figure, panels = pyplot.subplots(5, 1, sharex=True, figsize=(8.5, 8.6),
                                     gridspec_kw={"height_ratios": (1, 1.3, 1, 1.1, 1)})
    draw_rates(panels[0], result)
    draw_processes(panels[1], result, "pss", "memory\n(PSS, MiB)", 1024)
    draw_processes(panels[2], result, "descriptors", "open\ndescriptors")
    draw_queues(panels[3], result)
    draw_events(panels[4], result)
    shade_acts(panels, result)
    for axes in panels:
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.set_xlim(0, max(minutes(result, s["t"]) for s in result["samples"]))
    for axes in (panels[0], panels[1], panels[3]):
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, .98), ncols=5, frameon=False, fontsize=7.5,
                    handlelength=1.3, columnspacing=1.2, borderpad=0)
    figure.suptitle(title(result), fontsize=9)
    figure.align_ylabels(panels)
    figure.tight_layout(h_pad=.6)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
