// What the theme leaves out for those who use a keyboard or have pages read to them.
(() => {
  for (const caption of document.querySelectorAll('.caption[role="heading"]'))
    caption.setAttribute('aria-level', '2');
  for (const [part, name] of [['.sidebar-drawer', 'All pages'], ['.toc-drawer', 'On this page']])
    document.querySelector(part)?.setAttribute('aria-label', name);
  // Corners of pandas' tables head nothing.
  for (const corner of document.querySelectorAll('.dataframe thead th:empty'))
    corner.replaceWith(document.createElement('td'));
  // What scrolls is reached by the tabulator, so that arrows can scroll it.
  const boxes = document.querySelectorAll('pre, .table-wrapper, .math, .output');
  const reach = () => {
    for (const box of boxes)
      if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) box.tabIndex = 0;
      else box.removeAttribute('tabindex');
  };
  reach();
  new ResizeObserver(reach).observe(document.body);
})();
