"""Every page of the site in a browser: axe-core finds nothing wrong, nothing is too wide.

`make test-site` runs it on what `make docs` has made, docs/_build/html.
"""

from __future__ import annotations

import json
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from axe import axe_script, browser
from conftest import ROOT

from pathlib import Path
SITE = Path('/tmp/w/h20/help-scratch/html')
# But the one that leads on to the first.
PAGES = sorted(str(page.relative_to(SITE)) for page in SITE.rglob("*.html"))
PAGES = [page for page in PAGES if page != "index.html" and not page.startswith("_static")]
VIEWS = [(400, "light"), (1400, "light"), (1400, "dark")]

# One page after the other in a frame; what is found is sent back, a page at a time.
HARNESS = """<!doctype html><html lang="en"><title>All pages</title><body style="margin: 0">
<iframe id="frame" style="border: 0; height: 900px"></iframe><script>
const frame = document.getElementById('frame');
const send = (what) => fetch('/told', {method: 'POST', body: JSON.stringify(what)});
async function look(axe, page, width) {
  frame.style.width = width + 'px';
  await new Promise((done) => { frame.onload = done; frame.src = '/' + page; });
  const view = frame.contentWindow;
  view.eval(axe);
  // Halfway in a transition a colour is neither of the two.
  const still = view.document.createElement('style');
  still.textContent = '*, ::before, ::after { transition: none !important; }';
  view.document.head.append(still);
  // In the dark colours alone are others.
  for (const theme of width > 400 ? ['light', 'dark'] : ['light']) {
    view.document.body.dataset.theme = theme;
    const over = view.document.documentElement.scrollWidth - view.innerWidth;
    const rules = theme === 'dark' ? {runOnly: ['color-contrast']} : {};
    const {violations} = await view.axe.run(
      view.document, {resultTypes: ['violations'], ...rules});
    await send({page, width, theme, over, violations: violations.flatMap((one) => one.nodes.map(
      (node) => `${one.id}: ${node.target.join(' ')}: ${node.failureSummary}`))});
  }
}
(async () => {
  try {
    const axe = await (await fetch('/axe.js')).text();
    const pages = await (await fetch('/pages.json')).json();
    for (const page of pages) for (const width of [400, 1400]) await look(axe, page, width);
    await send({done: true});
  } catch (error) { await send({failed: String(error)}); }
})();
</script>"""


class Site(SimpleHTTPRequestHandler):
    """The site, the page that looks at all of it, and an ear for what that says."""

    def __init__(self, *arguments, told, ended, made, **options):
        self.told, self.ended, self.made = told, ended, made
        super().__init__(*arguments, directory=str(SITE), **options)

    def do_GET(self):
        if self.path not in self.made:
            super().do_GET()
            return
        self._answer(self.made[self.path], "text/html" if self.path.endswith("l") else "text/plain")

    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.told.append(said)
        self._answer("", "text/plain")
        if "page" not in said:
            self.ended.set()

    def _answer(self, text, kind):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def looked(request, tmp_path_factory):
    """What was found, by page, width and theme."""
    if not PAGES:
        pytest.fail(f"{SITE} has no pages: make docs")
    told, ended = [], threading.Event()
    asked = {item.callspec.params["page"] for item in request.session.items}
    made = {"/harness.html": HARNESS, "/axe.js": axe_script(), "/pages.json": json.dumps([*asked])}
    handler = partial(Site, told=told, ended=ended, made=made)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    chromium = subprocess.Popen(
        [
            browser(), "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1500,1000",
            f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
            f"http://127.0.0.1:{server.server_port}/harness.html",
        ],
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        ended.wait(1800)
    finally:
        chromium.terminate()
        chromium.communicate()
        server.shutdown()
    assert told, "the browser said nothing"
    assert told.pop() == {"done": True}
    return {(one["page"], one["width"], one["theme"]): one for one in told}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_nothing_that_axe_finds_wrong_and_fits(looked, page):
    found = [looked[page, width, theme] for width, theme in VIEWS]
    wrong = [
        f"{one['width']} {one['theme']}: {fault}" for one in found for fault in one["violations"]
    ]
    assert not wrong, "\n".join(wrong)
    assert [one["width"] for one in found if one["over"] > 0] == []
