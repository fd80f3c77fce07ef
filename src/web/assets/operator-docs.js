// Draws the operator's API for whoever has the key. It stays in the memory of this page, and goes to this service alone.
const form = document.querySelector("form");
const said = document.querySelector("[role=alert]");

async function draw() {
  const key = new FormData(form).get("key").trim();
  said.textContent = "";
  const answer = await fetch("/api/operator/v1/openapi.json", {
    headers: { authorization: `Bearer ${key}` },
  });
  const spec = await answer.json();
  if (!answer.ok) {
    said.textContent = answer.status === 401 ? "That key isn't right. Check it and try again." : spec.error;
    return;
  }
  form.remove();
  const ui = window.SwaggerUIBundle({
    spec,
    dom_id: "#swagger-ui",
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    onComplete: () => ui.preauthorizeApiKey("operatorKey", key),
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  draw().catch(() => {
    said.textContent = "The service didn't answer. Try again.";
  });
});
