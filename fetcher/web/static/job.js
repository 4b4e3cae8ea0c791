// Follows a verification while it runs.
"use strict";
const box = document.getElementById("job");
const output = document.getElementById("output");

async function look() {
  const answer = await fetch(box.dataset.url);
  if (!answer.ok) return;
  const job = await answer.json();
  output.textContent = job.progress.join("\n");
  output.hidden = job.progress.length === 0;
  if (job.state === "queued" || job.state === "running") setTimeout(look, 1000);
  else location.reload();
}
setTimeout(look, 1000);
