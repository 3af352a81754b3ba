#!/usr/bin/python3
"""deploy/prometheus/ beside the metrics that there are: promtool's judgement of the page, the alerts and their tests,
and that alerts and dashboard ask for nothing else.

    prometheus_test.py METRICS_PAGE FOLDER     Exit status 77: there is no promtool
"""
import json
import re
import shutil
import subprocess
import sys

failures = 0


def check(what, holds, why=""):
    global failures
    failures += not holds
    print(f"  {'ok   ' if holds else 'FAIL '} {what}{'' if holds else ': ' + why}")


def promtool(what, folder, *arguments, text=None):
    done = subprocess.run(["promtool", *arguments], cwd=folder, input=text, capture_output=True, text=True)
    said = (done.stdout + done.stderr).strip()
    check(what, done.returncode == 0, said)
    return said


def labels_of(page):
    """The labels of each metric on the page, and those that Prometheus adds."""
    out = {}
    for line in page.splitlines():
        found = re.match(r"([a-z_]+)(?:\{(.*)\})? ", line)
        if found and not line.startswith("#"):
            out.setdefault(found[1], {"instance", "job"}).update(re.findall(r'([a-z_]+)="', found[2] or ""))
    return out


def expressions(value, key=""):
    if isinstance(value, dict):
        for name, member in value.items():
            yield from expressions(member, name)
    elif isinstance(value, list):
        for member in value:
            yield from expressions(member, key)
    elif key in ("expr", "definition", "query") and isinstance(value, str):
        yield value


def check_expression(where, expression, labels):
    names = re.findall(r"\bfettle_[a-z_]+\b", expression)
    for name in names:
        check(f"{where}: {name}", name in labels, f"no such metric, in {expression}")
    known = set().union(*(labels.get(name, set()) for name in names))
    for used in re.findall(r'([a-z_]+)\s*(?:=~|!~|!=|=)\s*"', expression):
        check(f"{where}: label {used}", not names or used in known, f"not of {names}, in {expression}")
    for grouped in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        for used in filter(None, re.split(r", *", grouped)):
            check(f"{where}: label {used}", used in known, f"not of {names}, in {expression}")
    for name, brackets in re.findall(r"\b(?:rate|increase)\((fettle_[a-z_]+)[^)]*?(\[)", expression):
        check(f"{where}: rate of a counter", name.endswith("_total") and brackets == "[", expression)


def main():
    page_program, folder = sys.argv[1:]
    if not shutil.which("promtool"):
        print("SKIPPED: promtool is not there (Debian package prometheus)")
        sys.exit(77)
    page = subprocess.run([page_program], check=True, capture_output=True, text=True).stdout
    found = promtool("promtool check metrics", folder, "check", "metrics", text=page)
    check("promtool check metrics: no finding", found == "", found)
    promtool("promtool check rules", folder, "check", "rules", "fettle.rules.yml")
    promtool("promtool test rules", folder, "test", "rules", "fettle.rules.test.yml")
    promtool("promtool check config", folder, "check", "config", "scrape.yml")

    labels = labels_of(page)
    with open(f"{folder}/fettle.rules.yml") as rules:
        alerts = re.findall(r"^ *expr: (.*)$", rules.read(), re.MULTILINE)
    with open(f"{folder}/fettle.rules.test.yml") as tests:
        tested = tests.read()
    with open(f"{folder}/fettle.rules.yml") as rules:
        for name in re.findall(r"- alert: (\w+)", rules.read()):
            check(f"{name} is tested: it fires", re.search(rf"alertname: {name}\n +exp_alerts:", tested) is not None)
    for expression in alerts:
        check_expression("alert", expression, labels)
    for expression in re.findall(r"series: '([^']*)'", tested):
        check_expression("test", expression, labels)
    with open(f"{folder}/fettle.json") as dashboard:
        document = json.load(dashboard)
    asked = list(expressions(document))
    for expression in asked:
        check_expression("dashboard", expression, labels)
    ids = [panel["id"] for panel in document["panels"]]
    check("dashboard: panels", len(ids) == len(set(ids)) and len(ids) > 0)
    check("alerts and dashboard ask for something", len(alerts) > 5 and len(asked) > 10)
    if failures:
        sys.exit(f"FAILED: {failures}")


main()
