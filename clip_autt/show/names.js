// Screen readers hear the name that stands beside a slider: ipywidgets gives its handle none.
function render({ el }) {
  let tries = 0;
  const name = () => {
    const sliders = el.closest(".clip-autt-live")?.querySelectorAll(".widget-slider") ?? [];
    for (const slider of sliders) {
      const text = slider.querySelector(".widget-label")?.textContent ?? "";
      slider.querySelectorAll(".noUi-handle").forEach((handle) => handle.setAttribute("aria-label", text));
    }
    if (!el.closest(".clip-autt-live")?.querySelector(".noUi-handle[aria-label]") && tries++ < 50) setTimeout(name, 100);
  };
  name();
}

export default { render };
