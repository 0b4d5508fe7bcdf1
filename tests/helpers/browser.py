"""A page in headless Chromium, which runs a script in it and prints what it saw."""

from __future__ import annotations

import html
import json
import re
import subprocess

from axe import browser


def seen(report, script, width=1280, dark=False):
    """Run a script in the page, which calls `tell(object)`; return the object and console lines."""
    page = report.read_text(encoding="utf-8")
    probe = (
        "<script>window.onerror = (message) => { window.failed = String(message); };\n"
        "function tell(what) { const out = document.createElement('pre'); out.id = 'told';\n"
        "out.textContent = JSON.stringify({...what, failed: window.failed || ''});\n"
        "parent.document.body.append(out); }</script>"
    )
    page = page.replace("<body>", "<body>" + probe, 1)
    # After the page's own script, when layout and resize observers have run.
    late = f"<script>setTimeout(() => {{ {script} }}, 300);</script>"
    page = page.replace("</body>", late + "</body>", 1)
    if width < 500:  # Chromium has no narrower window.
        size = f"width: {width}px; height: 800px; border: 0"
        page = f'<body style="margin: 0"><iframe style="{size}" srcdoc="{html.escape(page)}">'
    path = report.parent / "probe.html"
    path.write_text(page, encoding="utf-8")
    command = [
        browser(), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--enable-logging=stderr", f"--user-data-dir={report.parent / 'profile'}",
        f"--window-size={width},900", "--virtual-time-budget=8000", "--dump-dom",
        *(["--blink-settings=preferredColorScheme=0"] if dark else []), path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    assert told, done.stderr[-2000:]
    text = told[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    answer = json.loads(text)
    assert answer.pop("failed") == ""
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    # A hint on the test's own reading of pixels.
    return answer, [line for line in console if "Multiple readback operations" not in line]
