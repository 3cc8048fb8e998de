"""Twenty visitors of the app at once: how long an update takes, what goes wrong, and what memory it costs.

    python benchmarks/bench_app.py --minutes 10 --out results/app_load.json

All visitors but one are plain websocket clients that say what a page says; the last one is a real page in Chromium.
Each opens a page, moves one of its sliders to a random place every 0.5 to 2.5 s, and goes to another page after about
two minutes. At the end three quarters of them close their page, the others vanish without a word. An update lasts from
the message with the new value until the kernel says that it is idle again, all its answers having arrived. Memory is
the proportional set size of the server and all its children: shared pages count once.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import re
import secrets
import tempfile
import time
import urllib.request
import uuid
from collections import Counter
from pathlib import Path

import numpy as np
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1
from websockets.asyncio.client import connect

from ponita_edu import app, doctor, lab
from ponita_edu.serving.site_map import PAGES
from ponita_edu.tasks.checkpoint import write_json
from ponita_edu.tasks.run import facts

STAY = 120  # seconds on one page, on average
PROTOCOL = "v1.kernel.websocket.jupyter.org"
LIMIT = 30  # seconds that an answer may take before it counts as an error
SLIDERS = ("FloatSliderModel", "IntSliderModel")


class Site:
    """A running app."""

    def __init__(self, folder: Path):
        self.port, self.token, self.log = lab.free_port(0), secrets.token_hex(16), folder / "app.log"
        began = time.monotonic()
        self.process = app.start(self.port, self.token, self.log)
        lab.wait_until_ready(self.process, self.port, self.log, "The app", f"http://127.0.0.1:{self.port}/login")
        self.seconds_to_start = time.monotonic() - began

    def ask(self, path: str, method: str = "GET") -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method,
                                         headers={"Authorization": f"token {self.token}"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.read().decode()

    def processes(self) -> list[int]:
        found = [self.process.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, task.read_text().split())
        return found

    def memory(self) -> float:
        """MB in use, what is shared counted once."""
        total = 0
        for pid in self.processes():
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:  # ended meanwhile
                continue
            total += int(re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)[1])
        return total / 1000

    def wait_for(self, text: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while text not in self.log.read_text(errors="replace"):
            if time.monotonic() > end:
                raise RuntimeError(f"the app's log does not say {text!r} after {seconds} s")
            time.sleep(0.2)


class Client:
    """One page without a browser."""

    def __init__(self, site: Site, name: str):
        self.site, self.name, self.socket, self.session = site, name, None, uuid.uuid4().hex

    async def open(self) -> float:
        """Open the page; how many seconds until all its widgets are known."""
        began = time.perf_counter()
        html = await asyncio.to_thread(self.site.ask, f"/{self.name}")
        self.kernel = re.search(r'"kernelId": "([0-9a-f-]{36})"', html)[1]
        address = f"ws://127.0.0.1:{self.site.port}/api/kernels/{self.kernel}/channels"
        self.socket = await connect(f"{address}?session_id={self.session}&token={self.site.token}", max_size=None,
                                    compression=None, subprotocols=[PROTOCOL])
        await self.widgets()
        return time.perf_counter() - began

    async def widgets(self) -> None:
        """Ask for the state of all widgets, as ipywidgets does when a page opens."""
        comm = uuid.uuid4().hex
        await self._say("comm_open", {"comm_id": comm, "target_name": "jupyter.widget.control", "data": {},
                                      "target_module": None}, {"version": "1.0.0"})
        answers = await self._say("comm_msg", {"comm_id": comm, "data": {"method": "request_states"}})
        states = next(m["content"]["data"]["states"] for m in answers if m["msg_type"] == "comm_msg"
                      and m["content"]["data"].get("method") == "update_states")
        self.sliders = [(key, value["state"]) for key, value in states.items()
                        if value["state"].get("_model_name") in SLIDERS and not value["state"].get("disabled")]
        if not self.sliders:
            raise RuntimeError(f"the page {self.name} has no slider")

    async def move(self) -> float:
        """Move a slider to a random place; how many seconds until the answer is complete."""
        key, state = random.choice(self.sliders)
        places = round((state["max"] - state["min"]) / state["step"])
        value = state["min"] + random.randint(0, places) * state["step"]
        began = time.perf_counter()
        answers = await self._say("comm_msg", {"comm_id": key, "data": {"method": "update", "state": {"value": value},
                                                                       "buffer_paths": []}})
        taken = time.perf_counter() - began
        for answer in answers:
            if answer["msg_type"] == "error" or "role='alert'" in json.dumps(answer["content"].get("data", "")):
                raise RuntimeError(f"{self.name}: {json.dumps(answer['content'])[:200]}")
        return taken

    async def _say(self, kind: str, content: dict, metadata: dict | None = None) -> list[dict]:
        """Send a message and collect the answers to it, until the kernel is idle again."""
        name = uuid.uuid4().hex
        header = {"msg_id": name, "msg_type": kind, "session": self.session, "username": "", "version": "5.3",
                  "date": ""}
        parts = [json.dumps(part).encode() for part in (header, {}, metadata or {}, content)]
        await self.socket.send(serialize_msg_to_ws_v1(parts, "shell"))
        answers = []
        async with asyncio.timeout(LIMIT):
            while True:
                message = _read(await self.socket.recv())
                if message["parent_header"].get("msg_id") != name:
                    continue
                if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                    return answers
                answers.append(message)

    async def leave(self, word: bool) -> None:
        """Close the page, as a browser does, or vanish."""
        if self.socket is not None:
            await self.socket.close()
        if word:
            await asyncio.to_thread(self.site.ask, f"/voila/api/shutdown/{self.kernel}", "POST")


def _read(message: bytes) -> dict:
    header, parent, _, content = map(json.loads, deserialize_msg_from_ws_v1(message)[1][:4])
    return {"msg_type": header["msg_type"], "parent_header": parent, "content": content}


async def visit(site: Site, end: float, seen: dict, polite: bool) -> None:
    """A visitor, until the end."""
    client = None
    while time.monotonic() < end:
        try:
            client = Client(site, random.choice(list(PAGES)))
            seen["opened"].append(await client.open())
            leave = min(end, time.monotonic() + random.uniform(0.5, 1.5) * STAY)
            while time.monotonic() < leave:
                await asyncio.sleep(random.uniform(0.5, 2.5))
                seen["updates"].append((client.name, await client.move()))
        except Exception as error:
            seen["errors"][f"{type(error).__name__}: {error}"[:200]] += 1
            await asyncio.sleep(1)
        last = time.monotonic() >= end
        try:
            await client.leave(word=polite or not last)
        except Exception as error:
            seen["errors"][f"leaving: {type(error).__name__}: {error}"[:200]] += 1


async def visit_in_browser(site: Site, end: float, seen: dict) -> None:
    """A visitor with Chromium: the keys are pressed, the picture is waited for."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=doctor.find_chromium(), args=[
            "--no-sandbox", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader",
            "--enable-unsafe-swiftshader"])
        page = await browser.new_page()
        page.on("pageerror", lambda error: seen["errors"].update([f"page: {error}"[:200]]))
        page.on("console", lambda m: seen["errors"].update([f"console: {m.text}"[:200]]) if m.type == "error" else None)
        began = time.perf_counter()
        await page.goto(f"http://127.0.0.1:{site.port}/pairs?token={site.token}", timeout=120_000)
        await page.wait_for_selector(".js-plotly-plot", timeout=120_000)
        seen["browser_opened"] = round(time.perf_counter() - began, 1)
        await page.wait_for_timeout(3000)
        handle, report = page.locator(".t-x .noUi-handle").first, page.locator(".t-report")
        key = "ArrowLeft"
        while time.monotonic() < end:
            before, began = await report.inner_html(), time.perf_counter()
            await handle.press(key)
            await page.wait_for_function("([box, was]) => box.innerHTML !== was", arg=[await report.element_handle(),
                                                                                      before], timeout=30_000)
            seen["browser"].append(time.perf_counter() - began)
            if float(await handle.get_attribute("aria-valuenow")) in (-1.2, 1.2):
                key = "ArrowRight" if key == "ArrowLeft" else "ArrowLeft"
            await page.wait_for_timeout(random.uniform(500, 2500))
        await page.goto("about:blank")
        await browser.close()


def summary(seconds: list[float]) -> dict[str, float]:
    return {"number": len(seconds), "median_ms": round(1000 * float(np.median(seconds))),
            "p95_ms": round(1000 * float(np.quantile(seconds, 0.95))), "most_ms": round(1000 * max(seconds))}


async def load(site: Site, visitors: int, minutes: float) -> dict:
    """The measurement."""
    for name in PAGES:  # whatever is made once, by the first visit of a page, is not the visitors'
        client = Client(site, name)
        await client.open()
        await client.leave(word=True)
    await asyncio.sleep(8)
    before = site.memory()
    seen = {"opened": [], "updates": [], "errors": Counter(), "browser": []}
    end = time.monotonic() + 60 * minutes
    tasks = [asyncio.create_task(visit(site, end, seen, polite=k % 4 > 0)) for k in range(visitors - 1)]
    tasks.append(asyncio.create_task(visit_in_browser(site, end, seen)))
    await asyncio.sleep(60 * minutes - 5)
    during, kernels = site.memory(), len(site.processes()) - 2
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, BaseException):
            seen["errors"][f"visitor: {result!r}"[:200]] += 1
    for _ in range(180):  # those who vanished are missed after 90 s
        if len(site.processes()) == 2:
            break
        await asyncio.sleep(1)
    await asyncio.sleep(5)
    after = site.memory()
    pages = {name: summary([t for page, t in seen["updates"] if page == name]) for name in PAGES
             if any(page == name for page, _ in seen["updates"])}
    return {
        "visitors": visitors, "load_minutes": minutes, "errors": sum(seen["errors"].values()),
        "what_errors": dict(seen["errors"].most_common(5)), "updates": summary([t for _, t in seen["updates"]]),
        "pages": pages, "opened": summary(seen["opened"]), "browser_first_page_s": seen.get("browser_opened"),
        "browser_key_to_report": summary(seen["browser"]) if seen["browser"] else None,
        "memory_mb": {"before": round(before), "all_in": round(during), "after": round(after),
                      "each_visitor": round((during - before) / max(kernels, 1))},
        "kernels_at_the_end": kernels, "kernels_left": len(site.processes()) - 2,
        "memory_returned": abs(after / before - 1) < 0.1,
    }


def main() -> None:
    """Start an app, load it, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    random.seed(0)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        try:
            site.wait_for("all pages are warm", 120)
            result = asyncio.run(load(site, args.visitors, args.minutes))
        finally:
            lab.stop(site.process)
    result |= {"seconds_to_start": round(site.seconds_to_start, 1), **facts(),
               "device": f"{os.cpu_count()} cores, {platform.machine()}",
               "minutes": round((time.monotonic() - began) / 60, 1)}
    print(json.dumps(result, indent=1))
    if args.out:
        write_json(args.out, result)


if __name__ == "__main__":
    main()
