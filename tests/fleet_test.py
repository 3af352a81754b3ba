#!/usr/bin/python3
"""What deploy/ has for fleets, as far as it can be judged where nothing runs: yamllint and ansible-lint; Kubernetes'
objects by the API's own types, through kubectl, and by what they have to say; Prometheus' configuration by promtool;
the recipe of the container by what it has to have.

  fleet_test.py FETTLE DEPLOY

Exit status 77: none of the linters is there. One that is not is named, and what it judges is passed over.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

try:
    import yaml
except ImportError:
    print("SKIPPED: python3-yaml is not there: deploy/install-dependencies --tests")
    sys.exit(77)

fettle, deploy = (os.path.abspath(argument) for argument in sys.argv[1:3])
failures = 0
passed_over = []


def expect(what, found, wanted):
    global failures
    if found == wanted:
        print(f"  ok    {what}")
    else:
        failures += 1
        print(f"  FAIL  {what}: found {found!r}, expected {wanted!r}")


def run(*command, folder=deploy, text=None):
    environment = dict(os.environ, LC_ALL="C.UTF-8", PATH="/usr/sbin:/usr/bin:/sbin:/bin", NO_COLOR="1", HOME=scratch)
    return subprocess.run(command, cwd=folder, input=text, capture_output=True, text=True, env=environment)


def has(tool):
    if shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin"):
        return True
    passed_over.append(tool)
    return False


def judged(tool, *arguments, **how):
    """The tool has nothing to say against it."""
    if has(tool):
        done = run(tool, *arguments, **how)
        expect(f"{tool} {arguments[0]}", "" if done.returncode == 0 else done.stdout + done.stderr, "")


def lost(before, after, where=""):
    """What of one object is missing, or is another, in the other one."""
    if isinstance(before, dict):
        if not isinstance(after, dict):
            return [where]
        return [name for key, value in before.items() for name in lost(value, after.get(key), f"{where}.{key}")]
    if isinstance(before, list):
        if not isinstance(after, list) or len(before) != len(after):
            return [where]
        return [name for i, value in enumerate(before) for name in lost(value, after[i], f"{where}[{i}]")]
    return [] if before == after else [f"{where}: {before!r}, then {after!r}"]


def typed(document):
    """A workload as kubectl's types of the API have it: what they do not know is gone."""
    name = os.path.join(scratch, "object.yaml")
    with open(name, "w") as file:
        yaml.safe_dump(document, file)
    done = run("kubectl", "set", "serviceaccount", "--local", "-f", name, "default", "-o", "yaml")
    return yaml.safe_load(done.stdout) if done.returncode == 0 else done.stderr


def test_kubernetes():
    folder = os.path.join(deploy, "kubernetes")
    with open(os.path.join(folder, "daemonset.yaml")) as file:
        daemonset = yaml.safe_load(file)
    if has("kubectl"):
        expect("daemonset.yaml, by the API's types", lost(daemonset, typed(daemonset)), [])
        # The judge can tell.
        wrong = yaml.safe_load(yaml.safe_dump(daemonset))
        wrong["spec"]["template"]["spec"]["hostNetworks"] = True
        expect("a field that there is not", lost(wrong, typed(wrong)),
               [".spec.template.spec.hostNetworks: True, then None"])
        made = run("kubectl", "kustomize", folder)
        expect("kubectl kustomize", made.stderr, "")
        objects = {each["kind"]: each for each in yaml.safe_load_all(made.stdout)}
        expect("what it makes", sorted(objects), ["ConfigMap", "DaemonSet", "Namespace"])
        names = [each["metadata"] for each in objects.values()]
        expect("namespaces", {each.get("namespace", each["name"]) for each in names}, {"fettle"})
        expect("the ConfigMap's name is the volume's", objects["ConfigMap"]["metadata"]["name"], "fettle-rules")
        images = {c["image"] for c in objects["DaemonSet"]["spec"]["template"]["spec"]["containers"]}
        expect("one image, with a version", [bool(re.search(r"/fettle:[0-9.]+$", image)) for image in images], [True])
    spec = daemonset["spec"]["template"]["spec"]
    labels = daemonset["spec"]["template"]["metadata"]["labels"]
    expect("the selector selects its pods", lost(daemonset["spec"]["selector"]["matchLabels"], labels), [])
    expect("the node's network", spec["hostNetwork"], True)
    volumes = {volume["name"] for volume in spec["volumes"]}
    for container in spec["containers"]:
        name = container["name"]
        expect(f"{name}: volumes", {m["name"] for m in container["volumeMounts"]} - volumes, set())
        parts = [mount for mount in container["volumeMounts"] if "subPath" in mount]
        expect(f"{name}: parts of a ConfigMap, which would never be new", parts, [])
        security = container["securityContext"]
        found = (security.get("privileged", False), security["allowPrivilegeEscalation"],
                 security["readOnlyRootFilesystem"], security["capabilities"]["drop"])
        expect(f"{name}: privileges", found, (False, False, True, ["ALL"]))
        expect(f"{name}: resources", sorted(container["resources"]), ["limits", "requests"])
    main = spec["containers"][0]
    with open(os.path.join(deploy, "container", "README.md")) as file:
        documented = re.findall(r"[A-Z_]{3,}", " ".join(re.findall(r"^\| (`[A-Z_`, ]*`) \|", file.read(), re.M)))
    capabilities = sorted(main["securityContext"]["capabilities"]["add"])
    expect("capabilities are those that the container's page names", capabilities, sorted(documented))
    probes = [main[probe]["exec"]["command"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
    expect("probes", probes, [["fettle", "status"]] * 3)
    help_text = run(fettle, "run", "--help").stdout
    flags = [argument.split("=")[0] for argument in main["args"][1:]]
    expect("flags that fettle has not", [flag for flag in flags if flag not in help_text], [])
    expect("the rules", run(fettle, "check", os.path.join(folder, "rules.toml")).returncode, 0)
    reload = spec["containers"][1]["command"][2]
    judged("shellcheck", "--shell=sh", "-", text=reload)


def test_ansible():
    folder = os.path.join(deploy, "ansible")
    judged("yamllint", "--strict", "ansible", "kubernetes", "scale")
    settings = os.path.join(folder, ".ansible-lint")
    judged("ansible-lint", "--strict", "--config-file", settings, "fleet.yml", "roles/fettle", folder=folder)
    with open(os.path.join(folder, "README.md")) as file:
        page = set(re.findall(r"^\| `(fettle_\w+)` \|", file.read(), re.M))
    with open(os.path.join(folder, "roles/fettle/defaults/main.yml")) as file:
        expect("variables of the page and of the role", page, set(yaml.safe_load(file)))


def test_prometheus():
    for name in ("scale/prometheus.yml", "prometheus/fettle.rules.yml"):
        shutil.copy(os.path.join(deploy, name), scratch)
    os.mkdir(os.path.join(scratch, "targets"))
    with open(os.path.join(scratch, "targets", "more.json"), "w") as file:
        file.write('[{"targets": ["10.9.2.1:9464"], "labels": {"site": "vienna"}}]')
    judged("promtool", "check", "config", "prometheus.yml", folder=scratch)


def test_container():
    with open(os.path.join(deploy, "container", "Containerfile")) as file:
        words = [line.split()[0] for line in file.read().splitlines() if re.match(r"[A-Z]+ ", line)]
    for word in ("HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD"):
        expect(f"the recipe's {word}", words.count(word), 1)


with tempfile.TemporaryDirectory(prefix="fettle-fleet.") as scratch:
    test_container()
    test_kubernetes()
    test_ansible()
    test_prometheus()
for tool in passed_over:
    print(f"  --    {tool} is not there: deploy/install-dependencies --tests")
sys.exit(1 if failures else 77 if len(passed_over) >= 4 else 0)
