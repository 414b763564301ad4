// What all parts of the page use of its elements.

export const $ = (id) => document.getElementById(id);

/** Shows what is wrong at the top of the page; nothing hides it again. */
export function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}
