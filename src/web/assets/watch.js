// While money moves, looks again until the page has something else to say. Elsewhere, a button that was pressed says so and
// is inert until the answer comes. Without this script the page reloads itself, and the service counts a second click once.
const AT_MOST = 15_000;
const shown = document.querySelector("[data-state]")?.dataset.state;

async function look(wait) {
  if (document.visibilityState === "visible" && (await hasChanged())) return location.reload();
  setTimeout(() => void look(Math.min(wait * 1.5, AT_MOST)), wait);
}

async function hasChanged() {
  try {
    const response = await fetch(location.href, { headers: { accept: "text/html" } });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    return response.status < 500 && page.querySelector("[data-state]")?.dataset.state !== shown;
  } catch {
    return false;
  }
}

if (shown !== undefined) setTimeout(() => void look(1_500), 1_000);

for (const form of document.querySelectorAll("form[data-busy]")) {
  const button = form.querySelector("button[type=submit]");
  form.addEventListener("submit", () => {
    const sum = button.querySelector(".amount")?.textContent ?? "";
    button.disabled = true;
    button.classList.add("busy");
    button.textContent = `${form.dataset.busy} ${sum}…`;
  });
}

// A page that Back shows again may have been decided since.
addEventListener("pageshow", ({ persisted }) => {
  if (persisted) location.reload();
});
