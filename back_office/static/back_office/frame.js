// What every page needs to obey the content security policy, which forbids styles in the page itself.
"use strict";

htmx.config.includeIndicatorStyles = false;

// The theme binds a style as text; Alpine sets the properties of an object one by one, which is allowed.
document.addEventListener("alpine:init", () => {
  document.getElementById("changelist-actions")?.setAttribute("x-bind:style", "{ width: `${changeListWidth}px` }");
});
