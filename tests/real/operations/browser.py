#!/usr/bin/env python3
"""Uses the status page as somebody with a browser does: reads, filters, copies.

    browser.py DIRECTORY MIXED LARGE EMPTY

The three are ports of aggregators on 127.0.0.1. MIXED has pods of several jobs, of which job `native` was never scraped,
and pods whose metadata and whose errors are markup; LARGE has thousands of pods, none of which responds; EMPTY has none.
Screenshots, the browser's profile and its log go to DIRECTORY. Prints a line for each check, "ok" or "FAILED", and ends
with status 0 when it came to its end.
"""

import json
import re
import sys
import urllib.parse
import urllib.request
from pathlib import Path

from chromium import Browser

# Resolved by the browser alone: plain http from a host that is not this one has no clipboard.
OTHER_NAME = "aggregator.example"
ALL_ROWS = """[...document.querySelectorAll("table.targets tbody tr:not(.more)")]
    .filter((row) => row.getClientRects().length)
    .map((row) => [row.querySelector(".state").textContent, row.querySelector(".name a").textContent,
        row.querySelector(".job").textContent, row.querySelector(".reason")?.textContent ?? null])"""
FILTER = "document.querySelector('form button')"
JOB_FIELD = "document.querySelector('input[name=job]')"
STATE_FIELD = "document.querySelector('select[name=state]')"
COPY_BUTTONS = "document.querySelectorAll('pre button')"
SHOWN_STATES = {"unknown": "not yet"}
KEYS = {"Tab": 9, "Enter": 13}
PAGE_ROWS = 200
TROUBLE_FIRST = ["down", "not yet", "up"]


def check(name, expected, found):
    if expected == found:
        print(f"ok - {name}: {found!r}"[:160], flush=True)
    else:
        print(f"FAILED - {name}: expected {expected!r}, found {found!r}", flush=True)


def get(url, accept):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers={"Accept": accept})
    with opener.open(request, timeout=60) as response:
        return response.read()


def scrape(port, leave_out=()):
    """Has every job scraped but these; gives what the page has to show then, a row for each target."""
    base = f"http://127.0.0.1:{port}"
    for job in json.loads(get(f"{base}/", "application/json"))["jobs"]:
        if job["job"] not in leave_out:
            get(f"{base}/metrics?job={urllib.parse.quote(job['job'], safe='')}", "text/plain")
    targets = json.loads(get(f"{base}/", "application/json"))["targets"]
    rows = [[SHOWN_STATES.get(target["state"], target["state"]), shown(target["target"]), shown(target["job"]),
             target["reason"] and shown(target["reason"])] for target in targets]
    return sorted(rows, key=lambda row: TROUBLE_FIRST.index(row[0]))


def shown(text):
    """What cannot be seen, or would turn the text around, is shown as such."""
    return re.sub("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", "\ufffd", text)


def configuration(kind, authority):
    honor_labels = "    honor_labels: true\n" if kind == "jobs" else ""
    return (f"scrape_configs:\n  - job_name: kubernetes-{kind}\n{honor_labels}    http_sd_configs:\n"
            f"      - url: http://{authority}/sd/{kind}\n        refresh_interval: 10s")


def filters(page, base, rows):
    """By typing, by the list of states, by links: what is left is what the whole page has of it."""
    page.open(f"{base}/")
    check("all targets", rows, page.evaluate(ALL_ROWS))
    page.click(JOB_FIELD)
    page.type("node")
    page.load(lambda: page.click(FILTER))
    of_job = [row for row in rows if row[2] == "node"]
    check("several targets of one job, not all", True, 1 < len(of_job) < len(rows))
    check("filter by job", of_job, page.evaluate(ALL_ROWS))
    check("the field keeps the job", "node", page.evaluate(f"{JOB_FIELD}.value"))
    # With the keyboard alone, as the next field: a state is chosen by its first letter.
    page.evaluate(f"{JOB_FIELD}.focus()")
    page.press("Tab", KEYS["Tab"])
    page.call("Input.dispatchKeyEvent", {"type": "char", "text": "d"})
    check("chosen by keyboard", "down", page.evaluate(f"{STATE_FIELD}.value"))
    page.press("Tab", KEYS["Tab"])
    page.load(lambda: page.call("Input.dispatchKeyEvent", {"type": "keyDown", "key": "Enter", "code": "Enter",
                                                           "windowsVirtualKeyCode": KEYS["Enter"], "text": "\r"}))
    down_of_job = [row for row in of_job if row[0] == "down"]
    check("one of the job is down, and why", [True], [bool(row[3]) for row in down_of_job])
    check("filter by job and state", down_of_job, page.evaluate(ALL_ROWS))
    page.load(lambda: page.click("document.querySelector('form a')"))
    check("all targets again", rows, page.evaluate(ALL_ROWS))
    for state in ["up", "down", "unknown"]:
        page.load(lambda: page.click(f"document.querySelector('.tiles .{state} a')"))
        expected = [row for row in rows if row[0] == SHOWN_STATES.get(state, state)]
        check(f"the tile of those that are {state}", expected, page.evaluate(ALL_ROWS))
    page.load(lambda: page.click("document.querySelector('.jobs a[href=\"/?job=batch\"]')"))
    check("a job's link", ["batch"], [row[2] for row in page.evaluate(ALL_ROWS)])
    page.open(f"{base}/?job=nobody")
    check("a job that is not there", [[], "None."],
          [page.evaluate(ALL_ROWS), page.evaluate("document.querySelector('form + p').textContent")])


def copies(page, port):
    """Each configuration, for the address under which the page was opened."""
    page.open(f"http://127.0.0.1:{port}/")
    page.evaluate("navigator.clipboard.writeText('before')")
    for number, kind in enumerate(["pods", "jobs"]):
        page.click(f"{COPY_BUTTONS}[{number}]")
        wait_for_label(page, number, "Copied")
        check(f"copied: {kind}", configuration(kind, f"127.0.0.1:{port}"),
              page.evaluate("navigator.clipboard.readText()"))
    page.open(f"http://{OTHER_NAME}:{port}/")
    for number, kind in enumerate(["pods", "jobs"]):
        page.click(f"{COPY_BUTTONS}[{number}]")
        wait_for_label(page, number, "Selected")
        check(f"selected where there is no clipboard: {kind}", configuration(kind, f"{OTHER_NAME}:{port}"),
              page.evaluate("getSelection().toString()"))


def wait_for_label(page, number, label):
    """The button says when it is done."""
    found = page.evaluate(f"""new Promise((resolve) => {{
        const button = {COPY_BUTTONS}[{number}];
        const done = () => button.textContent !== "Copy" && resolve(button.textContent);
        new MutationObserver(done).observe(button, {{childList: true}});
        setTimeout(() => resolve(button.textContent), 10000);
        done();
    }})""")
    check(f"button {number} says", label, found)


def stays_text(page, base, rows):
    """Whatever the pods or the address say, the page has the elements of its own and no other."""
    hostile = [row for row in rows if "<" in "".join(filter(None, row))]
    check("rows with markup in name, job and reason, and in a reason alone", [True, True],
          [any(all("<" in text for text in row[1:]) for row in hostile),
           any("<" not in row[1] + row[2] and "<" in (row[3] or "") for row in hostile)])
    for url in ["/", "/?job=%22%3E%3Cscript%3Econsole.log(3)%3C/script%3E", "/?job=%3C/td%3E%3Cb%20onclick%3Dx%3Ejob"]:
        page.open(base + url)
        job = page.evaluate("new URL(location).searchParams.get('job')")
        check("the field shows the job that is asked for", job or "", page.evaluate(f"{JOB_FIELD}.value"))
        check("its rows are text", [row for row in rows if job in (None, row[2])], page.evaluate(ALL_ROWS))
        check("scripts", [f"{base}/-/page.js"], page.evaluate("[...document.scripts].map((script) => script.src.split('?')[0])"))
        check("elements that no template has", 0,
              page.evaluate("document.querySelectorAll('img, b, iframe, object, svg:not(.bar), style, td script').length"))
        check("attributes that run", 0, page.evaluate(
            "[...document.querySelectorAll('*')].flatMap((e) => [...e.attributes]).filter((a) => a.name.startsWith('on')).length"))


def trouble_is_seen(page, base):
    """Each job's bar is as red as its share of targets that are down, and never so narrow that nobody sees it."""
    page.open(f"{base}/")
    down = page.evaluate("""Object.fromEntries([...document.querySelectorAll(".jobs tbody tr")].map((row) => {
        const [bar, part] = [row.querySelector("svg"), row.querySelector("rect.down")];
        const [all, width] = [bar, part].map((element) => element?.getBoundingClientRect().width ?? 0);
        return [row.querySelector("a").textContent, [Math.round(100 * width / all), getComputedStyle(part ?? bar).fill]];
    }))""")
    check("a third of the bar of a job with three targets, one down", 33, down["node"][0])
    check("nothing of the bar of a job that is up", 0, down["batch"][0])
    red = [int(value) for value in re.findall(r"\d+", down["node"][1])]
    check("it is red", True, red[0] > 2 * max(red[1:3]))
    jobs = list(down)
    check("jobs with trouble come first", True, jobs.index("node") < jobs.index("native") < jobs.index("batch"))


def large(page, port):
    rows = scrape(port)
    seconds = page.open(f"http://127.0.0.1:{port}/")
    check(f"the page of {len(rows)} targets is there within 3 s, after {seconds:.2f} s", True, seconds < 3)
    check("all of them down", {"down"}, {row[0] for row in rows})
    check("the first page", rows[:PAGE_ROWS], page.evaluate(ALL_ROWS))
    page.load(lambda: page.click("document.querySelector('.pages a')"))
    check("the next page", rows[PAGE_ROWS:2 * PAGE_ROWS], page.evaluate(ALL_ROWS))
    page.click(JOB_FIELD)
    page.type("big-3")
    page.load(lambda: page.click(FILTER))
    of_job = [row for row in rows if row[2] == "big-3"]
    check("filtered", of_job[:PAGE_ROWS], page.evaluate(ALL_ROWS))


def pictures(page, directory, ports):
    """For people to look at; and what can be told without looking: no sideways scrolling, dark is dark."""
    mixed, many, empty = ports
    screens = [(f"mixed-{width}{'-dark' if is_dark else ''}", mixed, {"width": width, "height": 1000, "is_dark": is_dark})
               for width in (400, 800, 1400) for is_dark in (False, True)]
    for name, port, screen in screens + [
        ("phone", mixed, {"width": 390, "height": 844, "is_phone": True}),
        ("large", many, {"width": 1400, "height": 1000}),
        ("large-phone", many, {"width": 390, "height": 844, "is_phone": True}),
        ("empty", empty, {"width": 1400, "height": 600}),
    ]:
        page.screen(**screen)
        page.open(f"http://127.0.0.1:{port}/")
        check(f"{name}: as wide as the screen", screen["width"], page.evaluate("document.documentElement.scrollWidth"))
        light = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every((c) => c > 127)")
        check(f"{name}: light", not screen.get("is_dark", False), light)
        wide = page.evaluate("[...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth).length")
        check(f"{name}: tables that are cut off", 0, wide)
        page.screenshot(directory / f"{name}.png")
        page.evaluate("scrollTo(0, document.querySelector('form, h2').offsetTop)")
        page.screenshot(directory / f"{name}-below.png")


def main():
    directory, ports = Path(sys.argv[1]), [int(port) for port in sys.argv[2:]]
    mixed = f"http://127.0.0.1:{ports[0]}"
    with open(directory / "chromium.log", "w") as log:
        browser = Browser(directory / "profile", log, {OTHER_NAME: "127.0.0.1"})
    try:
        browser.call("Browser.grantPermissions",
                     {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "origin": mixed})
        page = browser.page()
        page.screen(1280, 1000)
        rows = scrape(ports[0], leave_out=["native"])
        filters(page, mixed, rows)
        stays_text(page, mixed, rows)
        trouble_is_seen(page, mixed)
        large(page, ports[1])
        pictures(page, directory, ports)
        copies(page, ports[0])
        hosts = {urllib.parse.urlsplit(url).netloc for url in page.requests if not url.startswith("data:")}
        own = {f"127.0.0.1:{port}" for port in ports} | {f"{OTHER_NAME}:{ports[0]}"}
        check("hosts that were asked: those of the pages alone", own, hosts)
        check("complaints: console, exceptions, blocked or failed requests", [], page.complaints)
    finally:
        browser.close()


main()
