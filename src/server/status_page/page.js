// A button that copies each configuration. The page is whole without it.
"use strict";
for (const block of document.querySelectorAll("pre")) {
  const text = block.textContent;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // Without https there is no clipboard: the text is selected instead.
      const range = document.createRange();
      range.selectNodeContents(block.firstChild);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      button.textContent = "Selected";
    }
  });
  block.append(button);
}
