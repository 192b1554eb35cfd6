"""Headless Chromium, driven over its debugging pipe: JSON messages, each ended by a NUL byte, on descriptors 3 and 4.

Nothing but the standard library. The protocol: https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import json
import queue
import subprocess
import threading
import time

# Bound of every wait, in seconds.
TIMEOUT_SECONDS = 60
# Nothing of its own goes out, and no name is looked up but the one of the tests.
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--hide-scrollbars",
    "--remote-debugging-pipe",
]


class Browser:
    """A process. Ended by `close`."""

    def __init__(self, profile, log, resolve):
        names = ", ".join(f"MAP {name} {address}" for name, address in resolve.items())
        rules = f"--host-resolver-rules={names}, EXCLUDE 127.0.0.1, MAP * ~NOTFOUND"
        # The shell puts stdin and stdout where the browser expects its pipe.
        command = ["sh", "-c", 'exec "$@" 3<&0 4>&1 0</dev/null 1>&2', "sh", "chromium"]
        self.process = subprocess.Popen(command + OPTIONS + [rules, f"--user-data-dir={profile}", "about:blank"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self.messages = queue.Queue()
        self.pages = {}
        self.number = 0
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        rest = b""
        while piece := self.process.stdout.read1(1 << 16):
            *messages, rest = (rest + piece).split(b"\0")
            for message in messages:
                self.messages.put(json.loads(message))
        self.messages.put(None)

    def call(self, method, parameters=None, session=None):
        self.number += 1
        number = self.number
        message = {"id": number, "method": method, "params": parameters or {}}
        if session:
            message["sessionId"] = session
        self.process.stdin.write(json.dumps(message).encode() + b"\0")
        self.process.stdin.flush()
        while True:
            response = self.next_message(f"a response to {method}")
            if response.get("id") == number:
                if "error" in response:
                    raise RuntimeError(f"{method}: {response['error']}")
                return response["result"]

    def next_message(self, awaited):
        """The next response or event; events also go to their page."""
        try:
            message = self.messages.get(timeout=TIMEOUT_SECONDS)
        except queue.Empty:
            raise RuntimeError(f"no {awaited} in {TIMEOUT_SECONDS} s") from None
        if message is None:
            raise RuntimeError(f"the browser ended before {awaited}")
        page = self.pages.get(message.get("sessionId"))
        if page and "method" in message:
            page.note(message["method"], message["params"])
        return message

    def page(self):
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = Page(self, session)
        self.pages[session] = page
        for domain in ["Page", "Runtime", "Log", "Network", "Audits"]:
            page.call(f"{domain}.enable")
        page.call("Page.bringToFront")
        page.call("Emulation.setFocusEmulationEnabled", {"enabled": True})
        return page

    def close(self):
        self.process.kill()
        self.process.wait()


class Page:
    """A tab, and all that it asked for and complained of."""

    def __init__(self, browser, session):
        self.browser = browser
        self.session = session
        self.loads = 0
        self.requests = []
        self.complaints = []

    def call(self, method, parameters=None):
        return self.browser.call(method, parameters, self.session)

    def note(self, event, parameters):
        if event == "Page.loadEventFired":
            self.loads += 1
        elif event == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif event in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Audits.issueAdded",
                       "Network.loadingFailed"):
            self.complaints.append(f"{event}: {json.dumps(parameters)[:400]}")
        elif event == "Page.javascriptDialogOpening":
            self.complaints.append(f"{event}: {parameters}")
            raise RuntimeError(f"a dialog: {parameters['message']}")

    def load(self, action):
        """Does what loads another page, and waits until that is there with its script run."""
        before, start = self.loads, time.monotonic()
        action()
        while self.loads == before:
            self.browser.next_message("a loaded page")
        return time.monotonic() - start

    def open(self, url):
        return self.load(lambda: self.call("Page.navigate", {"url": url}))

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", {"expression": expression, "returnByValue": True, "awaitPromise": True})
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def click(self, element):
        """With the mouse, at the middle of the element (an expression) where that is what a user would hit."""
        at = self.evaluate(f"""(() => {{
            const element = {element};
            element.scrollIntoView({{block: "center"}});
            const box = element.getBoundingClientRect();
            const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
            return element.contains(document.elementFromPoint(x, y)) ? [x, y] : null;
        }})()""")
        if not at:
            raise RuntimeError(f"{element} cannot be clicked: it is not there, or something lies over it")
        for event in ["mousePressed", "mouseReleased"]:
            self.call("Input.dispatchMouseEvent",
                      {"type": event, "x": at[0], "y": at[1], "button": "left", "clickCount": 1})

    def press(self, key, code):
        for event in ["rawKeyDown", "keyUp"]:
            self.call("Input.dispatchKeyEvent", {"type": event, "key": key, "code": key, "windowsVirtualKeyCode": code})

    def type(self, text):
        """Into what has the focus."""
        self.call("Input.insertText", {"text": text})

    def screen(self, width, height, is_phone=False, is_dark=False):
        scale = 2 if is_phone else 1
        self.call("Emulation.setDeviceMetricsOverride",
                  {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": is_phone})
        scheme = "dark" if is_dark else "light"
        self.call("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def screenshot(self, path):
        picture = self.call("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": False})
        with open(path, "wb") as file:
            file.write(base64.b64decode(picture["data"]))
