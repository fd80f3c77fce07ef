// Tells the server which zone the reader's clock is in, so that the next page says times as that clock does.
const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
const secure = location.protocol === "https:" ? "; secure" : "";
// The Cookie Store API is not in every browser yet.
// biome-ignore lint/suspicious/noDocumentCookie: nothing else works everywhere
document.cookie = `zone=${timeZone}; path=/; max-age=31536000; samesite=lax${secure}`;
