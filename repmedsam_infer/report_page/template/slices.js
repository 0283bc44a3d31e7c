// Slices of volumes in the large pictures: slider, wheel, and the keys up, down, page up, page down, home and end.
(() => {
  const NOTCH = 50;  // pixels of a wheel's turn that are a slice
  const STEPS = { ArrowUp: -1, ArrowDown: 1, PageUp: -5, PageDown: 5, Home: -Infinity, End: Infinity };

  for (const scroller of document.querySelectorAll(".scroller")) {
    const figure = scroller.closest(".enlarged");
    const view = figure.querySelector(".view");
    const overview = view.querySelector(".overview");
    const slices = [...view.querySelectorAll(".slice")];
    const slider = scroller.querySelector("input");
    const output = scroller.querySelector("output");
    let turned = 0;

    function show(what) {
      for (const button of scroller.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", button.dataset.show === what);
      }
      overview.hidden = what === "slices";
      const z = slices[slider.value].dataset.z;
      for (const slice of slices) slice.hidden = what !== "slices" || slice.dataset.z !== z;
      slider.setAttribute("aria-valuetext", `z ${z}`);
      output.value = `z ${z}`;
    }

    function move(steps) {
      const last = slices.length - 1;
      slider.value = Math.min(Math.max(Number(slider.value) + steps, 0), last);
      show("slices");
    }

    scroller.hidden = false;
    show("slices");
    slider.addEventListener("input", () => show("slices"));
    scroller.addEventListener("click", (event) => {
      if (event.target.dataset.show) show(event.target.dataset.show);
    });
    view.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (overview.hidden === false) return;
      turned += event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : event.deltaY * NOTCH;
      const steps = Math.trunc(turned / NOTCH);
      turned -= steps * NOTCH;
      if (steps) move(Math.sign(steps));
    }, { passive: false });
    figure.addEventListener("step", (event) => move(event.detail));
  }

  document.addEventListener("keydown", (event) => {
    const figure = document.querySelector(".enlarged:target");
    if (!figure || !(event.key in STEPS)) return;
    event.preventDefault();
    figure.dispatchEvent(new CustomEvent("step", { detail: STEPS[event.key] }));
  });
})();
