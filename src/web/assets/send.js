// Sends the one form of a page that there is nothing to decide on. Whoever runs no script presses its button.
document.querySelector("form[data-send]")?.requestSubmit();
