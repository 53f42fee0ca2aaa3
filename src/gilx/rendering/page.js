"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // "$ink" is the colour --ink of the style. Values are left alone: they hold names that
  // may look so, too.
  const paint = (part, key) => {
    if (key === "values") return part;
    if (typeof part === "string" && part.startsWith("$")) {
      const style = getComputedStyle(document.documentElement);
      return style.getPropertyValue("--" + part.slice(1)).trim();
    }
    if (Array.isArray(part)) return part.map((one) => paint(one));
    if (part !== null && typeof part === "object") {
      return Object.fromEntries(Object.entries(part).map(([k, v]) => [k, paint(v, k)]));
    }
    return part;
  };

  // What is seen of a picture that zooms: a begin and an end, inside of all there is.
  class Window {
    constructor(figure, whole, unit) {
      this.place = figure.querySelector(".chart");
      this.output = figure.querySelector("output");
      [this.first, this.last] = whole;
      this.unit = unit;
      this.shown = whole;
      this.view = null;
      this.fingers = new Map();
      this.listen(figure);
      this.tell();
    }

    show(begin, end) {
      const all = this.last - this.first;
      const length = Math.min(all, Math.max(all / 1e5, end - begin));
      const middle = (begin + end) / 2;
      const from = Math.min(this.last - length, Math.max(this.first, middle - length / 2));
      this.shown = [from, from + length];
      this.tell();
      if (this.view !== null) this.view.signal("shown", this.shown).runAsync();
    }

    tell() {
      const [begin, end] = this.shown;
      const digits = Math.max(0, Math.ceil(2 - Math.log10(Math.max(end - begin, 1e-9))));
      const [a, b] = this.shown.map((x) => x.toFixed(Math.min(digits, 9)));
      this.output.textContent = `${a} to ${b} ${this.unit}`;
    }

    // factor: how much longer what is seen gets; around a share of it that stays in place.
    zoom(factor, share = 0.5) {
      const [begin, end] = this.shown;
      const still = begin + share * (end - begin);
      this.show(still - (still - begin) * factor, still + (end - still) * factor);
    }

    move(share) {
      const [begin, end] = this.shown;
      const step = share * (end - begin);
      this.show(begin + step, end + step);
    }

    act(what) {
      if (what === "in") this.zoom(0.5);
      else if (what === "out") this.zoom(2);
      else if (what === "left") this.move(-0.25);
      else if (what === "right") this.move(0.25);
      else this.show(this.first, this.last);
    }

    // Where on the screen something is, as a share of what is seen.
    share(x) {
      const left = this.place.getBoundingClientRect().left + this.view.origin()[0];
      return Math.min(1, Math.max(0, (x - left) / this.view.width()));
    }

    listen(figure) {
      const keys = { "+": "in", "=": "in", "-": "out", "\u2212": "out", ArrowLeft: "left",
        ArrowRight: "right", 0: "whole", Home: "whole" };
      for (const button of figure.querySelectorAll("[data-do]")) {
        button.addEventListener("click", () => this.act(button.dataset.do));
      }
      this.place.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
        event.preventDefault();
        this.act(keys[event.key]);
      });
      // A wheel alone scrolls the page, as everywhere. Two fingers on a touchpad come as a
      // wheel with Ctrl; with Shift, some turn the wheel sideways.
      this.place.addEventListener("wheel", (event) => {
        if (this.view === null || !(event.ctrlKey || event.shiftKey)) return;
        event.preventDefault();
        const turn = event.deltaY || event.deltaX;
        this.zoom(Math.exp(Math.max(-1, Math.min(1, turn / 200))), this.share(event.clientX));
      }, { passive: false });
      this.place.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        this.fingers.set(event.pointerId, event.clientX);
      });
      this.place.addEventListener("pointermove", (event) => this.drag(event));
      for (const end of ["pointerup", "pointercancel"]) {
        this.place.addEventListener(end, (event) => this.fingers.delete(event.pointerId));
      }
    }

    drag(event) {
      const before = this.fingers.get(event.pointerId);
      if (before === undefined || this.view === null) return;
      // Not before it moves, since what captured a pointer gets its click, too.
      this.place.setPointerCapture(event.pointerId);
      if (this.fingers.size === 1) {
        this.move((before - event.clientX) / this.view.width());
      } else if (this.fingers.size === 2) {
        const [other] = [...this.fingers].filter(([id]) => id !== event.pointerId)[0].slice(1);
        const wide = Math.max(20, Math.abs(before - other));
        const now = Math.max(20, Math.abs(event.clientX - other));
        this.zoom(wide / now, this.share((event.clientX + other) / 2));
      }
      this.fingers.set(event.pointerId, event.clientX);
    }
  }

  // A press of a call of a flame graph shows it as wide as the picture. The call is found by
  // its place, since Vega does not know what a finger is on.
  const press = (seen, calls) => {
    const levels = calls.reduce((most, call) => Math.max(most, call.depth + 1), 0);
    seen.place.addEventListener("click", (event) => {
      // A drag ends with a click of the element that captured the pointer.
      if (seen.view === null || event.target === seen.place) return;
      const top = seen.place.getBoundingClientRect().top + seen.view.origin()[1];
      const depth = Math.floor(((event.clientY - top) / seen.view.height()) * levels);
      const [begin, end] = seen.shown;
      const at = begin + seen.share(event.clientX) * (end - begin);
      const call = calls.find((one) => one.depth === depth && one.begin <= at && at < one.end);
      if (call !== undefined) seen.show(call.begin, call.end);
    });
  };

  const options = {
    actions: false,
    ast: true, // expressions are interpreted: the policy lets nothing be evaluated
    defaultStyle: false,
    tooltip: { disableDefaultStyle: true },
  };

  for (const figure of document.querySelectorAll("figure")) {
    const place = figure.querySelector(".chart");
    const { spec, whole, unit } = JSON.parse(figure.querySelector("script").textContent);
    const seen = whole === null ? null : new Window(figure, whole, unit);
    if (seen !== null && spec.data !== undefined) press(seen, spec.data.values);
    let drawn = null;
    // One drawing after the other: the colours may change while one is at work.
    let last = Promise.resolve();
    const draw = async () => {
      if (drawn !== null) drawn.finalize();
      const renderer = seen === null ? "svg" : "canvas"; // which can draw very many bars
      drawn = await vegaEmbed(place, paint(spec), { ...options, renderer });
      if (seen !== null) {
        seen.view = drawn.view;
        await drawn.view.signal("shown", seen.shown).runAsync();
      }
      figure.dataset.drawn = dark.matches ? "dark" : "light";
    };
    const again = () => {
      last = last.then(draw).catch((error) => {
        place.classList.add("broken");
        place.textContent = "This picture can't be drawn here; the table has its figures.";
        console.error(error);
      });
    };
    again();
    dark.addEventListener("change", again);
  }
})();
