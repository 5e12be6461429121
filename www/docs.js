/* The API reference calls the gateway it stands in, under whatever prefix that is; light or dark as the reader has it. */
"use strict";
const reference = document.querySelector("rapi-doc");
reference.setAttribute("theme", matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
Promise.all([fetch("openapi.json").then((r) => r.json()), customElements.whenDefined("rapi-doc")]).then(([description]) => {
  description.servers = [{ url: new URL(".", location.href).href.replace(/\/$/, "") }];
  reference.loadSpec(description);
});
