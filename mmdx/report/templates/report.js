"use strict";
(() => {
  const root = document.documentElement;
  const at = (id) => document.getElementById(id);
  root.classList.add("js");

  const theme = at("theme");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const name = () => { theme.textContent = dark() ? "Light theme" : "Dark theme"; };
  theme.hidden = false;
  name();
  theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; name(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);

  if (!at("case-index")) return;
  const index = JSON.parse(at("case-index").textContent);
  const cases = [...document.querySelectorAll(".case")];
  const [tools, list, section] = [at("case-tools"), at("case-list"), at("cases")];
  const entries = list.querySelector("ol");
  const wrong = (outcome) => outcome === "wrong" || outcome.startsWith("false ");
  const orders = {
    listed: () => 0,
    error: (a, b) => b.error - a.error,
    sure: (a, b) => b.confidence - a.confidence,
    unsure: (a, b) => (a.confidence ?? 2) - (b.confidence ?? 2),
    disagreement: (a, b) => (b.disagreement ?? -1) - (a.disagreement ?? -1),
  };
  const buttons = index.map((own, k) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    const id = document.createElement("bdi");
    const told = document.createElement("small");
    button.type = "button";
    id.textContent = own.id;
    if (wrong(own.outcome)) told.className = "wrong";
    button.append(id, told);
    button.addEventListener("click", () => show(k));
    item.append(button);
    return button;
  });
  let shown = [];
  let current = -1;

  function show(k) {
    if (current >= 0) {
      cases[current].classList.remove("current");
      cases[current].querySelectorAll("audio").forEach((sound) => sound.pause());
      buttons[current].removeAttribute("aria-current");
    }
    current = k;
    const place = shown.indexOf(k);
    at("previous").disabled = place <= 0;
    at("next").disabled = place < 0 || place === shown.length - 1;
    at("place").textContent = shown.length ? `${place + 1} of ${shown.length}` : "no case fits";
    if (k < 0) return;
    cases[k].open = true;
    cases[k].classList.add("current");
    buttons[k].setAttribute("aria-current", "true");
    const [box, button] = [list.getBoundingClientRect(), buttons[k].getBoundingClientRect()];
    if (button.top < box.top) list.scrollTop -= box.top - button.top;
    if (button.bottom > box.bottom) list.scrollTop += button.bottom - box.bottom;
  }

  function choose(keep) {
    const [outcome, target, word] = [at("outcome").value, at("target").value, at("search").value.trim().toLowerCase()];
    const fits = (own) =>
      (!outcome || own.outcome === outcome || (outcome === "wrong" && wrong(own.outcome))) &&
      (!target || own.target === target) &&
      (!word || own.id.toLowerCase().includes(word));
    shown = [...index.keys()].filter((k) => fits(index[k]));
    shown.sort((a, b) => orders[at("sort").value](index[a], index[b]) || a - b);
    const named = { sure: "confidence", unsure: "confidence", disagreement: "disagreement" }[at("sort").value] || "error";
    const word_of = { confidence: "sureness", disagreement: "disagreement", error: "error" }[named];
    for (const k of shown) {
      const number = index[k][named];
      buttons[k].lastChild.textContent = (index[k].outcome || index[k].target) + (number === null ? "" : `, ${word_of} ${number.toFixed(2)}`);
    }
    entries.replaceChildren(...shown.map((k) => buttons[k].parentElement));
    list.scrollTop = 0;
    show(keep !== undefined && shown.includes(keep) ? keep : shown.length ? shown[0] : -1);
  }

  function step(by) {
    const place = shown.indexOf(current) + by;
    if (place >= 0 && place < shown.length) show(shown[place]);
  }

  function linked() {
    const found = cases.findIndex((own) => "#" + own.id === location.hash);
    return found < 0 ? undefined : found;
  }

  tools.hidden = list.hidden = false;
  tools.addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["sort", "outcome", "target"]) at(id).addEventListener("change", () => choose());
  at("search").addEventListener("input", () => choose());
  at("previous").addEventListener("click", () => step(-1));
  at("next").addEventListener("click", () => step(1));
  section.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select, audio, .note, .scroll")) return;
    const by = { j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1 }[event.key];
    if (by) { event.preventDefault(); step(by); }
  });
  section.addEventListener("change", (event) => {
    if (event.target.classList.contains("toggle")) {
      document.querySelectorAll(".toggle").forEach((box) => { box.checked = event.target.checked; });
    }
  });
  cases.forEach((own) => own.querySelector("summary").addEventListener("click", (event) => event.preventDefault()));
  addEventListener("hashchange", () => { if (linked() !== undefined) show(linked()); });
  choose(linked());
})();
