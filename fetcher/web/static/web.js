// What the form has beyond HTML: an id proposed while typing, and uploads that go on.
"use strict";
const form = document.getElementById("add");
const root = form.dataset.root;
const headers = { "X-CSRF-Token": form.dataset.csrf };

const name = document.getElementById("i-name");
const id = document.getElementById("i-id");
let typed = id.value !== "";
let asked;
id.addEventListener("input", () => { typed = id.value !== ""; });
name.addEventListener("input", () => {
  clearTimeout(asked);
  if (typed) return;
  asked = setTimeout(async () => {
    const manifest = document.getElementById("i-manifest");
    const query = new URLSearchParams({ name: name.value, manifest: manifest ? manifest.value : "" });
    const answer = await fetch(`${root}/-/api/propose-id?${query}`);
    if (answer.ok && !typed) id.value = (await answer.json()).id;
  }, 150);
});

const box = form.querySelector(".upload-box");
const file = document.getElementById("i-upload");
const bar = box.querySelector("progress");
const said = box.querySelector("output");
const kept = form.elements.uploaded;
const PART = 4 << 20;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const size = (n) => n < 1e6 ? `${Math.ceil(n / 1e3)} kB` : n < 1e9 ? `${(n / 1e6).toFixed(1)} MB` : `${(n / 1e9).toFixed(2)} GB`;
box.hidden = false;

async function ask(path, options) {
  const answer = await fetch(`${root}/-/api/uploads${path}`, { ...options, headers: { ...headers, ...(options || {}).headers } });
  const found = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(found.error || answer.statusText), { final: answer.status < 500 && answer.status !== 409 });
  return found;
}

let current = 0;
async function send(chosen) {
  const mine = ++current;
  const key = `upload:${chosen.name}:${chosen.size}:${chosen.lastModified}`;
  let state = null;
  bar.hidden = false;
  kept.value = "";
  for (let failed = 0; mine === current;) {
    try {
      if (!state) {
        const known = localStorage.getItem(key);
        state = known ? await ask(`/${known}`).catch(() => null) : null;
        if (!state) {
          state = await ask("", { method: "POST", body: JSON.stringify({ name: chosen.name, size: chosen.size }), headers: { "Content-Type": "application/json" } });
          localStorage.setItem(key, state.id);
        }
      }
      while (!state.path && mine === current) {
        state = await ask(`/${state.id}?offset=${state.received}`, { method: "POST", body: chosen.slice(state.received, state.received + PART), headers: { "Content-Type": "application/octet-stream" } });
        failed = 0;
        bar.value = chosen.size ? state.received / chosen.size : 1;
        said.textContent = form.dataset.uploading.replace("{done}", size(state.received)).replace("{total}", size(chosen.size));
      }
      if (mine !== current) return;
      localStorage.removeItem(key);
      bar.value = 1;
      kept.value = state.path;
      said.textContent = form.dataset.ready.replace("{name}", chosen.name);
      return;
    } catch (error) {
      state = null;
      if (error.final || ++failed > 100) { said.textContent = error.final ? error.message : form.dataset.failed; return; }
      said.textContent = form.dataset.lost;
      await pause(Math.min(500 * failed, 10000));
    }
  }
}
file.addEventListener("change", () => { if (file.files.length) send(file.files[0]); });
const wrong = document.getElementById("mistakes");
if (wrong) wrong.focus();
