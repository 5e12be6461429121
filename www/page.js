/* What the administrators' pages are better with and work without: local times, copying, live refresh. The playground
 * alone needs it. No page holds script of its own. */
"use strict";

/* ---- times in the reader's zone, UTC on hover ---- */
function localTimes(root) {
  const form = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  for (const t of root.querySelectorAll("time[datetime]")) {
    const when = new Date(t.dateTime);
    if (t.title || isNaN(when)) continue;
    t.title = t.textContent;
    t.textContent = form.format(when);
  }
}

/* ---- copying a secret ---- */
function copyButtons(root) {
  for (const b of root.querySelectorAll("button[data-copy]")) {
    b.hidden = !navigator.clipboard;
    b.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(b.dataset.copy).textContent);
      b.textContent = "Copied";
    });
  }
}

/* ---- keeping the overview up to date; only what changed is replaced, and only while the page is seen ---- */
function liveButton() {
  const b = document.querySelector("button[data-live]");
  if (!b) return;
  let timer = 0;
  b.hidden = false;
  async function refresh() {
    if (document.hidden) return;
    const answer = await fetch(location.href, { credentials: "same-origin" }).catch(() => null);
    if (!answer || !answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const here = document.querySelectorAll("main > section, main > .cards"), there = fresh.querySelectorAll("main > section, main > .cards");
    localTimes(fresh);
    here.forEach((old, i) => {
      if (there[i] && !old.contains(document.activeElement) && !old.querySelector("details[open]")) old.replaceWith(there[i]);
    });
  }
  b.addEventListener("click", () => {
    const on = b.getAttribute("aria-pressed") !== "true";
    b.setAttribute("aria-pressed", String(on));
    clearInterval(timer);
    if (on) timer = setInterval(refresh, Number(b.dataset.live) * 1000);
    if (on) refresh();
  });
}

/* ---- the playground ---- */
function fact(list, name, value) {
  const pair = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
  dt.textContent = name;
  dd.textContent = value;
  pair.append(dt, dd);
  list.append(pair);
}

/* Calls each(data) for every event of a stream, as they come. */
async function readEvents(body, each) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const events = text.split(/\r?\n\r?\n/);
    text = events.pop();
    for (const e of events)
      for (const line of e.split(/\r?\n/))
        if (line.startsWith("data:")) each(line.slice(5).trim());
  }
}

function playground() {
  const form = document.getElementById("playground");
  if (!form) return;
  document.getElementById("needs-script").hidden = true;
  document.getElementById("send").disabled = false; // sent without this script the key would stand in an address
  const answer = document.getElementById("answer"), facts = document.getElementById("facts"), stop = document.getElementById("stop");
  let running = null;
  function take(data) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data), choice = (chunk.choices || [])[0] || {};
    if (chunk.error) answer.textContent += "\n" + chunk.error.message;
    answer.textContent += (choice.delta || choice.message || {}).content || "";
    if (choice.finish_reason) fact(facts, "finish_reason", choice.finish_reason);
    for (const [name, n] of Object.entries(chunk.usage || {})) if (typeof n === "number") fact(facts, name, n.toLocaleString());
  }
  async function send() {
    const stream = form.stream.checked, began = performance.now();
    const body = { model: form.model.value, messages: [{ role: "user", content: form.text.value }] };
    if (stream) Object.assign(body, { stream: true, stream_options: { include_usage: true } });
    const r = await fetch("../v1/chat/completions", {
      method: "POST", signal: running.signal, credentials: "omit", body: JSON.stringify(body),
      headers: { "content-type": "application/json", authorization: "Bearer " + form.key.value },
    });
    fact(facts, "status", r.status);
    for (const [name, value] of r.headers) if (/^x-(weir|request|ratelimit)-/.test(name)) fact(facts, name, value);
    if (stream && r.ok) await readEvents(r.body, take);
    else take(await r.text());
    fact(facts, "took", Math.round(performance.now() - began) + " ms");
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (running) running.abort();
    running = new AbortController();
    answer.textContent = "";
    facts.replaceChildren();
    stop.disabled = false;
    try {
      await send();
    } catch (e) {
      fact(facts, "ended", e.name === "AbortError" ? "stopped by you" : String(e));
    }
    stop.disabled = true;
  });
  stop.addEventListener("click", () => running && running.abort());
}

localTimes(document);
copyButtons(document);
liveButton();
playground();
