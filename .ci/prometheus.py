"""Compares alerts, their tests, the runbook and the dashboard with each other, and with a running suppressd that a running
Prometheus scrapes. Arguments: the private address of suppressd, its token, the address of Prometheus, a folder to write into."""

import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

suppressd, token, prometheus, work = sys.argv[1:]
deploy = Path("deploy")

# What Prometheus makes itself, and the labels that it gives.
OF_PROMETHEUS = {"up", "ALERTS"}
LABELS_OF_PROMETHEUS = {"instance", "job", "mode", "le", "alertname", "alertstate"}
# Series that are there only once something has happened that does not happen here, or only on Linux. The names still have
# to stand in the source.
ONLY_SOMETIMES = {"suppressd_last_backup_timestamp_seconds"}

wrong = []


def check(holds, what):
    if not holds:
        wrong.append(what)


def ask(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return answer.read().decode()


def of_prometheus(path, **parameters):
    return json.loads(ask(f"{prometheus}{path}?{urllib.parse.urlencode(parameters)}"))["data"]


def until(what, is_so):
    for _ in range(300):
        try:
            if is_so():
                return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.2)
    sys.exit(f"waited in vain until {what}")


def panels(of):
    """All panels, with those of collapsed rows."""
    for panel in of:
        yield panel
        yield from panels(panel.get("panels", []))


def plain(expr):
    """The query as Grafana would send it."""
    for word, value in {"$__rate_interval": "1m", "$__range": "1h", "$instance": ".*", "$source": ".*"}.items():
        expr = expr.replace(word, value)
    return expr


def names(expr):
    """The series that a query names, each with the labels that it is asked by and their exact values."""
    for found in re.finditer(r"(?<![\w:\"$])((?:suppressd_|process_)\w+|up|ALERTS)\b(?:\{([^}]*)\})?", expr):
        matchers = re.findall(r"(\w+)\s*(=~|!~|!=|=)\s*\"([^\"]*)\"", found[2] or "")
        yield found[1], {label: value if sign == "=" else None for label, sign, value in matchers}


# A few questions, so that they are counted too.
authorization = {"authorization": f"Bearer {token}"}
for key in ("domain:nobody.example", "domain:juniper-engine-labs.example"):
    ask(f"{suppressd}/v1/suppression/{key}", **authorization)

until("Prometheus is ready", lambda: ask(f"{prometheus}/-/ready"))
until("it has scraped suppressd", lambda: [one["health"] for one in of_prometheus("/api/v1/targets")["activeTargets"]] == ["up"])
until(
    "it has scraped it some times, and judged every rule",
    lambda: float((of_prometheus("/api/v1/query", query="count_over_time(up[1m])")["result"] or [{"value": [0, "0"]}])[0]["value"][1]) >= 5
    and all(rule["health"] != "unknown" for group in of_prometheus("/api/v1/rules")["groups"] for rule in group["rules"]),
)

# What there is.
scraped = ask(f"{suppressd}/metrics", **authorization)
Path(work, "metrics").write_text(scraped)
types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", scraped, re.M))
labels, values = {}, {}
for name, inner in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", scraped, re.M):
    for label, value in re.findall(r"(\w+)=\"((?:[^\"\\]|\\.)*)\"", inner):
        labels.setdefault(name, set()).add(label)
        values.setdefault((name, label), set()).add(value)
series = set(types) - {name for name, kind in types.items() if kind == "histogram"}
series |= {name + part for name, kind in types.items() if kind == "histogram" for part in ("_bucket", "_sum", "_count")}
source = "\n".join(path.read_text() for path in Path("src").rglob("*.rs"))

rules = [rule for group in of_prometheus("/api/v1/rules")["groups"] for rule in group["rules"]]
alerts = [rule for rule in rules if rule["type"] == "alerting"]
recorded = {rule["name"] for rule in rules if rule["type"] == "recording"}
check(len(alerts) > 20, f"only {len(alerts)} alerts")

dashboard = json.loads((deploy / "grafana/suppressd.json").read_text())
queries = {}
for panel in panels(dashboard["panels"]):
    for target in panel.get("targets", []):
        queries[f"panel «{panel['title']}», query {target['refId']}"] = plain(target["expr"])
for annotation in dashboard["annotations"]["list"]:
    if "expr" in annotation:
        queries[f"annotation «{annotation['name']}»"] = plain(annotation["expr"])
for variable in dashboard["templating"]["list"]:
    found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]) if variable["type"] == "query" else None
    if found:
        queries[f"variable «{variable['name']}»"] = f"count by ({found[2]}) ({plain(found[1])})"
check(len(queries) > 60, f"only {len(queries)} queries in the dashboard")

# Every series that is named is there, with the labels by which it is asked.
for where, expr in [*queries.items(), *((f"rule {rule['name']}", rule["query"]) for rule in rules)]:
    for name, asked in names(expr):
        if name in OF_PROMETHEUS:
            continue
        if name not in series:
            check(name in ONLY_SOMETIMES and f'"{name}"' in source, f"{where}: there is no series {name}")
            continue
        for label, value in asked.items():
            if label in LABELS_OF_PROMETHEUS:
                continue
            check(label in labels.get(name, ()), f"{where}: {name} has no label {label}")
            if value is not None and value not in values.get((name, label), ()):
                check(f'"{value}"' in source or label == "status", f"{where}: {name} never has {label}=\"{value}\"")
    for name in re.findall(r"suppressd:\w+", expr):
        check(name in recorded, f"{where}: no rule makes {name}")

# Prometheus can answer every query, and has something to answer.
silent = []
for where, expr in queries.items():
    try:
        if not of_prometheus("/api/v1/query", query=expr)["result"]:
            silent.append(where)
    except urllib.error.HTTPError as error:
        check(False, f"{where}: {json.loads(error.read()).get('error')}")
check(len(silent) * 4 < len(queries), f"{len(silent)} of {len(queries)} queries of the dashboard give nothing")
Path(work, "dashboard.yml").write_text(
    json.dumps({"groups": [{"name": "dashboard", "rules": [
        {"record": f"dashboard:query_{place}", "expr": expr} for place, expr in enumerate(queries.values())
    ]}]})
)

# Alerts: nothing is left out, each has its section in the runbook, and its tests.
tests = "".join(path.read_text() for path in sorted((deploy / "prometheus").glob("*_test.yml")))
runbook = (deploy / "RUNBOOK.md").read_text()
sections = re.findall(r"^### (\w+)$", runbook, re.M)
check(sorted(sections) == sorted(rule["name"] for rule in alerts), "the runbook has other sections than there are alerts")
for rule in rules:
    check(rule["health"] == "ok", f"rule {rule['name']}: {rule.get('lastError')}")
for rule in alerts:
    name, annotations = rule["name"], rule["annotations"]
    check(rule["labels"].get("severity") in ("critical", "warning"), f"{name}: its severity is neither critical nor warning")
    check(annotations.keys() == {"summary", "description", "runbook_url"}, f"{name}: its annotations are {sorted(annotations)}")
    check(annotations.get("runbook_url") == f"deploy/RUNBOOK.md#{name.lower()}", f"{name}: its runbook_url leads elsewhere")
    fires = re.findall(rf"labels: 'ALERTS\{{alertname=\"{name}\",([^}}]*)\}}'", tests)
    check(fires, f"{name}: no test in which it fires")
    check(re.search(rf"ALERTS\{{alertname=\"{name}\",alertstate=\"firing\"\}}', exp_samples: \[\]", tests), f"{name}: no test in which it does not")
    for label in re.findall(r"\$labels\.(\w+)", " ".join(annotations.values())):
        check(any(f"{label}=" in one for one in fires), f"{name}: it speaks of the label {label}, which it does not have")
for name in recorded:
    check(any(name in rule["query"] for rule in alerts), f"no alert uses {name}")
for link in re.findall(r"\]\(#(\w+)\)", runbook):
    check(link in [section.lower() for section in sections], f"the runbook links to #{link}, which it does not have")

# The dashboard: every panel says what it shows, and none lies over another.
taken = {}
ids = [panel["id"] for panel in panels(dashboard["panels"])]
check(len(ids) == len(set(ids)), "two panels have the same id")
for panel in panels(dashboard["panels"]):
    title, place = panel["title"], panel["gridPos"]
    check(place["x"] >= 0 and place["x"] + place["w"] <= 24, f"panel «{title}» does not fit into the width")
    for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])):
        check(cell not in taken, f"panel «{title}» lies over «{taken.get(cell)}»")
        taken[cell] = title
    if panel["type"] == "row":
        continue
    defaults = panel["fieldConfig"]["defaults"]
    check(len(panel.get("description", "")) > 20, f"panel «{title}» does not say what it shows")
    check(defaults.get("unit"), f"panel «{title}» has no unit")
    steps = defaults.get("thresholds", {}).get("steps", [])
    check(steps and steps[0]["value"] is None, f"panel «{title}» has no thresholds")
    bounds = [step["value"] for step in steps[1:]]
    check(bounds == sorted(bounds), f"the thresholds of panel «{title}» do not rise")
    check(panel["targets"], f"panel «{title}» asks nothing")
    check(panel["datasource"]["uid"] == "${datasource}", f"panel «{title}» does not use the variable of the data source")

for one in wrong:
    print(one, file=sys.stderr)
if wrong:
    sys.exit(1)
print(f"{len(alerts)} alerts, {len(recorded)} settings, {len(queries)} queries of {len(ids)} panels, {len(types)} metrics: they fit")
for where in silent:
    print(f"  nothing to show here: {where}")
