// The page's frame: which view shows, how the server is, its key, and light or dark.

import { getJson, getReport, keepKey, keptKey } from "./api.js";
import { Chat } from "./chat.js";
import { byId } from "./elements.js";
import { EngineView } from "./engine.js";

const STARTING_MS = 1000;
const READY_MS = 5000;
const VIEWS = ["chat", "engine"];
const THEMES = ["Auto", "Light", "Dark"];

const chat = new Chat(askForKey);
const engine = new EngineView(askForKey);
let view = "chat";

// --- views

function open(name, { focus = false } = {}) {
  view = name;
  for (const each of VIEWS) {
    const tab = byId(`tab-${each}`);
    tab.setAttribute("aria-selected", String(each === name));
    tab.tabIndex = each === name ? 0 : -1;
    byId(`view-${each}`).hidden = each !== name;
  }
  if (focus) byId(`tab-${name}`).focus();
  if (location.hash.slice(1) !== name) history.replaceState(null, "", `#${name}`);
  watch();
}

function watch() {
  engine.watch(view === "engine" && document.visibilityState === "visible");
}

for (const name of VIEWS) {
  byId(`tab-${name}`).addEventListener("click", () => open(name));
}
document.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
  const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -VIEWS.indexOf(view), End: 1 - VIEWS.indexOf(view) };
  if (!(event.key in steps)) return;
  event.preventDefault();
  const index = (VIEWS.indexOf(view) + steps[event.key] + VIEWS.length) % VIEWS.length;
  open(VIEWS[index], { focus: true });
});
document.addEventListener("visibilitychange", watch);
addEventListener("hashchange", () => open(VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "chat"));

// --- how the server is

function tell(state, text) {
  const place = byId("status");
  if (place.textContent !== text) place.textContent = text; // else it would be read out again
  place.dataset.state = state;
}

let model = null;

async function look() {
  let wait = STARTING_MS;
  try {
    const start = model ? null : await getReport("startupz");
    if (start && !start.isGood) tell("starting", progressOf(start));
    else if (await lookReady()) wait = READY_MS;
  } catch {
    tell("gone", "the server cannot be reached");
  }
  setTimeout(look, wait);
}

async function lookReady() {
  const report = await getReport("readyz");
  if (!report.isGood) {
    tell("starting", report.reason ?? report.status);
    return false;
  }
  model ??= await nameOfModel();
  if (model) tell("ready", `${model} is ready`);
  return true;
}

function progressOf({ phase, done, total, unit }) {
  const share = unit && total ? ` ${Math.round((100 * done) / total)} %` : "";
  return `starting: ${phase}${share}`;
}

async function nameOfModel() {
  try {
    const [card] = (await getJson("v1/models")).data;
    chat.serve(card.id);
    return card.id;
  } catch (problem) {
    if (problem.status === 401) askForKey(problem.message);
    tell("starting", problem.status === 401 ? "an API key is wanted" : problem.message);
    return null;
  }
}

// --- the key

function showKey(isShown) {
  byId("key").hidden = !isShown;
  byId("key-button").setAttribute("aria-expanded", String(isShown));
}

function askForKey(message) {
  const place = byId("key-message");
  const isNew = byId("key").hidden || place.textContent !== message;
  place.textContent = message;
  place.dataset.failed = "";
  if (!isNew) return;
  showKey(true);
  byId("key-field").focus();
}

byId("key-button").addEventListener("click", () => {
  showKey(byId("key").hidden);
  if (!byId("key").hidden) byId("key-field").focus();
});
byId("key").addEventListener("submit", async (event) => {
  event.preventDefault();
  keepKey(byId("key-field").value.trim());
  model = await nameOfModel();
  if (!model) return;
  tell("ready", `${model} is ready`);
  showKey(false);
  watch();
  byId(view === "chat" ? "prompt" : "tab-engine").focus();
});
byId("key-field").value = keptKey();

// --- light and dark

const keptTheme = () => localStorage.getItem("radixloom.theme") ?? "Auto";

function showTheme(theme) {
  if (theme === "Auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.toLowerCase();
  byId("theme").textContent = theme;
  byId("theme").setAttribute("aria-label", `Theme: ${theme}`);
}

byId("theme").addEventListener("click", () => {
  const current = keptTheme();
  const next = THEMES[(THEMES.indexOf(current) + 1) % THEMES.length];
  localStorage.setItem("radixloom.theme", next);
  showTheme(next);
});

showTheme(keptTheme());
open(VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "chat");
look();
