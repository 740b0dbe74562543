// Texts of a page with a contrast below 4.5 against what lies behind them (WCAG 2, AA): [ratio, element, class, text].
() => {
  const parsed = colour => { const m = colour.match(/[\d.]+/g).map(Number); return [m[0], m[1], m[2], m.length > 3 ? m[3] : 1] }
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat([1])
  const light = c => {
    const f = c.slice(0, 3).map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    return .2126 * f[0] + .7152 * f[1] + .0722 * f[2]
  }
  const found = []
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement
    const visible = element.checkVisibility({checkOpacity: true, checkVisibilityCSS: true})
    if (!text || !visible || !element.getBoundingClientRect().width || element.closest('svg, script, style, math')) continue
    let behind = [255, 255, 255, 1], opacity = 1
    const layers = []
    for (let e = element; e; e = e.parentElement) {
      layers.unshift(parsed(getComputedStyle(e).backgroundColor))
      opacity *= getComputedStyle(e).opacity
    }
    for (const layer of layers) behind = over(layer, behind)
    const colour = parsed(getComputedStyle(element).color)
    colour[3] *= opacity
    const [a, b] = [light(over(colour, behind)), light(behind)]
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05)
    if (ratio < 4.5) found.push([ratio.toFixed(2), element.tagName, element.className, text.slice(0, 40)])
  }
  return found
}
