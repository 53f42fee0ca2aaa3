// Search and filters of the atlas. The table is complete without this.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector(".atlas-form");
  if (!form) return;
  const calls = [...document.querySelectorAll("table.atlas > tbody")];
  const output = form.querySelector("output");
  const choices = ["library", "gil", "scaling"];

  function shown(call, words) {
    return (
      words.every((word) => call.dataset.text.includes(word)) &&
      choices.every((name) => {
        const value = form.elements[name].value;
        return !value || call.dataset[name] === value;
      }) &&
      (!form.elements.differs.checked || call.dataset.differs === "yes")
    );
  }

  function filter() {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const call of calls) {
      call.hidden = !shown(call, words);
      count += !call.hidden;
    }
    output.textContent = `${count} of ${calls.length} calls`;
  }

  // The address keeps the choice, so that it can be sent to somebody.
  function keep() {
    const chosen = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value) chosen.set(name, value);
    const query = chosen.toString();
    history.replaceState(null, "", `${location.pathname}${query ? `?${query}` : ""}`);
  }

  for (const [name, value] of new URLSearchParams(location.search)) {
    const field = form.elements[name];
    if (field instanceof HTMLInputElement && field.type === "checkbox") field.checked = true;
    else if (field) field.value = value;
  }
  form.addEventListener("input", () => { filter(); keep(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
});
