// Submits the only form of a page that asks for no decision. Without scripts, the person presses its button.
document.querySelector("form[data-send]")?.requestSubmit();
